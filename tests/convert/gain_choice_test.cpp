// Gains that held-out text decides about.
#include "gain_choice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "convert/calibration_fixture.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"

namespace regroup::testing {
namespace {

/// Conversions by the closed form alone, with gains given or tried.
class GainTrialTest : public CalibrationTest {
 protected:
  ConvertOptions closed_form(const std::string& out, Gain logit, Gain output) const {
    ConvertOptions by = options(out);
    by.logit_gain = logit;
    by.output_gain = output;
    by.calibration.refit_output = false;
    by.calibration.layer_steps = 0;
    return by;
  }
  ConvertOptions on_parents_inputs(const std::string& out, Gain logit, Gain output) const {
    ConvertOptions by = closed_form(out, logit, output);
    by.calibration.sequential = false;
    return by;
  }
  /// Of the last 16 of the text's 128 windows: those that calibration holds out.
  double held_out_loss(const std::string& out) const {
    const at::Tensor ids = random_ids(1, 4096, kVocab, 11).view({128, 32}).narrow(0, 112, 16);
    return -all_logits(load_folder(at(out)), ids)
                .log_softmax(-1)
                .narrow(1, 0, 31)
                .gather(2, ids.narrow(1, 1, 31).unsqueeze(2))
                .mean()
                .item<double>();
  }
  static std::string name(const Gains& gains) {
    return std::string(gains.logit ? "on" : "off") + (gains.output ? "-on" : "-off");
  }
  std::string digest(const std::string& out) const {
    return sha256_of_file(at(out) + "/model.safetensors");
  }
};

// What predicts the held-out windows best is what is written, for models of every make.
TEST_F(GainTrialTest, GainsAreTheOnesThatPredictHeldOutTextBest) {
  TinyModelSpec tied = kDifferentHeads;
  tied.tie_word_embeddings = true;
  TinyModelSpec biased = kDifferentHeads;
  biased.attention_bias = true;
  TinyModelSpec grouped = kDifferentHeads;
  grouped.n_heads = 12;
  TinyModelSpec in_part = kDifferentHeads;
  in_part.model_type = "stablelm";
  in_part.hidden_size = in_part.n_heads * in_part.head_dim;
  std::set<std::string> winners;
  for (const TinyModelSpec& spec : {kDifferentHeads, tied, biased, grouped, in_part}) {
    SCOPED_TRACE(winners.size());
    prepare(spec);
    std::string best;
    for (const Gain logit : {Gain::kOff, Gain::kOn}) {
      for (const Gain output : {Gain::kOff, Gain::kOn}) {
        const std::string out = gain_name(logit) + "-" + gain_name(output);
        std::filesystem::remove_all(at(out));
        EXPECT_EQ(name(run(on_parents_inputs(out, logit, output)).gains), out);
        if (best.empty() || held_out_loss(out) < held_out_loss(best)) best = out;
      }
    }
    for (const bool scratch : {false, true}) {
      std::filesystem::remove_all(at("auto"));
      ConvertOptions open = on_parents_inputs("auto", Gain::kAuto, Gain::kAuto);
      if (scratch) open.calibration.scratch = at("");
      EXPECT_EQ(name(run(open).gains), best);
      EXPECT_EQ(digest("auto"), digest(best));
    }
    winners.insert(best);
  }
  EXPECT_NE(winners, std::set<std::string>{"on-off"}) << "that is what no trial gives";
}

TEST_F(GainTrialTest, AGivenGainIsNotTried) {
  prepare(kDifferentHeads);
  EXPECT_FALSE(run(closed_form("a", Gain::kOff, Gain::kAuto)).gains.logit);
  EXPECT_TRUE(run(closed_form("b", Gain::kAuto, Gain::kOn)).gains.output);
}

// Later layers are fitted on the output of layers with the logit gain alone; what is tried and written is
// still one model.
TEST_F(GainTrialTest, ConvertedInputsAreThoseOfTheFirstCandidate) {
  prepare(kDifferentHeads);
  run(closed_form("auto", Gain::kAuto, Gain::kAuto));
  run(closed_form("plain", Gain::kOn, Gain::kOff));
  EXPECT_LE(held_out_loss("auto"), held_out_loss("plain") + 1e-6);
}

// A second trial could decide otherwise, on other threads or another device: the first one's word holds.
TEST_F(GainTrialTest, AResumedConversionKeepsTheGainsItBeganWith) {
  prepare(kDifferentHeads);
  const ConvertOptions by = on_parents_inputs("out", Gain::kAuto, Gain::kAuto);
  const ModelFolder model = ModelFolder::open(by.model);
  const auto killed = [](int64_t, int64_t) { throw std::runtime_error("killed"); };
  EXPECT_THROW(plan_and_convert(model, by, {.bytes = killed, .calibration = {}}),
               std::runtime_error);
  const std::string kept = at("out.partial") + "/calibration/gains.json";
  ASSERT_TRUE(path_exists(kept));
  for (const char* text : {R"({"logit": false, "output": false})", "{", R"({"logit": 1})"}) {
    write_file_atomically(kept, text);
    EXPECT_THROW(plan_and_convert(model, by, {.bytes = killed, .calibration = {}}),
                 std::runtime_error);
    EXPECT_EQ(InputFile(kept).read_all() == text, text[1] == '"' && text[10] == 'f') << text;
  }
  write_file_atomically(kept, R"({"logit": false, "output": false})");
  EXPECT_EQ(name(run(by).gains), "off-off");
  run(on_parents_inputs("given", Gain::kOff, Gain::kOff));
  EXPECT_EQ(digest("out"), digest("given"));
}

TEST(GainTrial, OnlyFiniteLossesCount) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(smallest_finite({nan, 2.0, nan, 1.0, infinity}), 3u);
  EXPECT_EQ(smallest_finite({2.0, nan}), 0u);
  EXPECT_EQ(smallest_finite({nan, infinity, -infinity}), std::nullopt);
}

// A refit of Wo leaves nothing for a trial to decide.
TEST_F(GainTrialTest, WithRefitTheLogitGainAloneIsOn) {
  prepare(kDifferentHeads);
  const Gains gains = run(options("out")).gains;
  EXPECT_TRUE(gains.logit);
  EXPECT_FALSE(gains.output);
}

TEST_F(GainTrialTest, WithoutTextBothAreOnUnlessToldOtherwise) {
  prepare(kDifferentHeads);
  ConvertOptions by = options("out");
  by.calibration = {};
  Gains gains = run(by).gains;
  EXPECT_TRUE(gains.logit);
  EXPECT_TRUE(gains.output);
  by.out = options("off").out;
  by.output_gain = Gain::kOff;
  gains = run(by).gains;
  EXPECT_TRUE(gains.logit);
  EXPECT_FALSE(gains.output);
}

}  // namespace
}  // namespace regroup::testing
