// Conversion with text: stages that help, interruption, statistics, scratch space, bad input.
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "convert/calibration_fixture.h"
#include "convert/planted.h"
#include "output_refit.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

TEST_F(CalibrationTest, EveryStageBringsTheLayerCloser) {
  prepare(kDifferentHeads);
  const ConversionPlan plan = run(options("out"));
  ASSERT_EQ(plan.layers.size(), 3u);
  for (const LayerReport& layer : plan.layers) {
    EXPECT_LT(*layer.refitted, 0.98 * *layer.closed) << layer.layer;
    EXPECT_LT(*layer.trained, 0.98 * *layer.refitted) << layer.layer;
  }
  EXPECT_GT(plan.calibration_flops, 0.0);
  EXPECT_EQ(plan.calibration_tokens, 4096);
  ConvertOptions plain = options("plain");
  plain.method = Method::kMean;
  plain.grouping = Grouping::kContiguous;
  plain.calibration = {};
  run(plain);
  EXPECT_LT(damage("out"), 0.8 * damage("plain"));
}

TEST_F(CalibrationTest, ALosslessMergeStaysLossless) {
  for (const char* family : {"llama", "stablelm"}) {
    SCOPED_TRACE(family);
    prepare({.model_type = family,
             .n_heads = 4,
             .n_kv_heads = 4,
             .attention_bias = true,
             .distinct_kv_heads = 2});
    const ConversionPlan plan = run(options(family));
    for (const LayerReport& layer : plan.layers) {
      EXPECT_LE(*layer.closed, 1e-9);
      EXPECT_LE(*layer.trained, 1e-9);
      EXPECT_LE(layer.key_residual, 1e-9);
      EXPECT_LE(layer.value_residual, 1e-9);
    }
    EXPECT_LE(damage(family), 1e-4);
  }
}

// All stages on every device there is: nothing stays behind on another, and the result is as good.
TEST_F(CalibrationTest, EveryDeviceCalibrates) {
  prepare(kDifferentHeads);
  run(options("cpu"));
  for (const at::Device device : devices()) {
    const std::string out = "on-" + device.str();
    ConvertOptions by = options(out);
    by.calibration.device = device.str();
    run(by);
    EXPECT_NEAR(damage(out), damage("cpu"), 0.02 * damage("cpu")) << device;
    ConvertOptions closed = options(out + "-closed");
    closed.calibration = {.files = by.calibration.files,
                          .seq_len = 32,
                          .refit_output = false,
                          .layer_steps = 0,
                          .device = device.str()};
    EXPECT_NO_THROW(run(closed)) << device;  // tries gains
  }
}

// Three copies of each of two heads, in any order; for methods that turn heads, each in its own basis.
TEST_F(CalibrationTest, ScatteredHeadsAreFoundByEveryMethodThatGroups) {
  const TinyModelSpec spec = {
      .n_heads = 6, .n_kv_heads = 6, .attention_bias = true, .distinct_kv_heads = 2};
  write_tokens(at("text.bin"), 2048);
  write_tiny_model(at("plain"), spec);
  const ModelConfig config = ModelFolder::open(at("plain")).config();
  for (const Method method : {Method::kMean, Method::kFirst, Method::kMedoid, Method::kWeighted,
                              Method::kAlign, Method::kAlignNorm, Method::kPca}) {
    const bool turns = method >= Method::kAlign;
    const std::vector<LayerTransform> scattered = rebased(
        config, {.why = "scattered", .permute = true, .turn_values = turns, .turn_keys = turns});
    const std::string parent = turns ? "turned" : "permuted";
    if (!path_exists(at(parent))) convert_by(scattered, at("plain"), at(parent), 6);
    for (const Grouping grouping :
         {Grouping::kSimilarity, Grouping::kResidual, Grouping::kContiguous}) {
      const std::string name = method_name(method) + "-" + grouping_name(grouping);
      SCOPED_TRACE(name);
      ConvertOptions by = options(name);
      by.model = at(parent);
      by.method = method;
      by.grouping = grouping;
      by.calibration.layer_steps = 0;
      for (const LayerReport& layer : run(by).layers) {
        if (grouping == Grouping::kContiguous) {
          EXPECT_GE(*layer.closed, 1e-3);
          continue;
        }
        EXPECT_LE(*layer.closed, 1e-9);
        for (size_t i = 0; i < 6; ++i) {
          const auto source = [&](size_t position) {
            const auto head = static_cast<size_t>(layer.order[position]);
            return scattered[static_cast<size_t>(layer.layer)].permutation[head] / 3;
          };
          EXPECT_EQ(source(i), source(i / 3 * 3));
        }
      }
    }
  }
}

TEST_F(CalibrationTest, ResumedAfterALayerGivesTheSameBytes) {
  prepare(kDifferentHeads);
  run(options("whole"));
  for (const int64_t killed_at : {1, 2, 3}) {
    const std::string out = "killed-" + std::to_string(killed_at);
    EXPECT_THROW(run(options(out), killed_at_layer(killed_at)), std::runtime_error);
    EXPECT_FALSE(path_exists(at(out)));
    run(options(out));
    expect_same_files("whole", out);
  }
}

TEST_F(CalibrationTest, ADamagedLayerIsMadeAgain) {
  prepare(kDifferentHeads);
  run(options("whole"));
  using Metadata = std::map<std::string, std::string>;
  const auto nothing_but = [](const Metadata& metadata) {
    return [metadata](std::string& file) { file = make_safetensors_prefix({}, metadata); };
  };
  const std::function<void(std::string&)> damages[] = {
      [](std::string& file) { file[file.size() - 3] ^= 1; }, nothing_but({}),
      nothing_but({{"sha256", sha256_of_text("")}, {"report", "{"}})};
  for (const auto& damage : damages) {
    std::filesystem::remove_all(at("out"));
    EXPECT_THROW(run(options("out"), killed_at_layer(2)), std::runtime_error);
    const std::string path = calibrated_layer_path(at("out.partial/calibration"), 0);
    std::string file = InputFile(path).read_all();
    damage(file);
    write_file_atomically(path, file);
    run(options("out"));
    expect_same_files("whole", "out");
  }
}

TEST_F(CalibrationTest, ScratchSpaceChangesNothing) {
  prepare(kDifferentHeads);
  run(options("memory"));
  make_folder(at("scratch"));
  ConvertOptions on_disk = options("disk");
  on_disk.calibration.scratch = at("scratch");
  run(on_disk);
  expect_same_files("memory", "disk");
  EXPECT_TRUE(std::filesystem::is_empty(at("scratch")));
}

// Ten methods, one calibration: the file of statistics gives what the text gave.
TEST_F(CalibrationTest, SavedStatisticsGiveTheSameConversion) {
  prepare(kDifferentHeads);
  for (const Method method : {Method::kPca, Method::kPrune, Method::kAlignNorm}) {
    ConvertOptions by_text = options("text-" + method_name(method));
    by_text.method = method;
    if (method == Method::kPrune) by_text.grouping = Grouping::kContiguous;
    by_text.calibration.sequential = false;
    by_text.calibration.refit_output = false;
    by_text.calibration.layer_steps = 0;
    by_text.calibration.save_statistics = at("statistics.safetensors");
    by_text.output_gain = Gain::kOn;  // not left to text, which the second conversion has none of
    by_text.logit_gain = Gain::kOn;
    run(by_text);
    ConvertOptions by_file = by_text;
    by_file.out = at("file-" + method_name(method));
    by_file.calibration = {.statistics = at("statistics.safetensors")};
    run(by_file);
    EXPECT_EQ(sha256_of_file(by_text.out + "/model.safetensors"),
              sha256_of_file(by_file.out + "/model.safetensors"))
        << method_name(method);
    // and not what no statistics give
    ConvertOptions blind = by_file;
    blind.out = at("blind-" + method_name(method));
    blind.calibration = {};
    run(blind);
    EXPECT_NE(sha256_of_file(by_file.out + "/model.safetensors"),
              sha256_of_file(blind.out + "/model.safetensors"))
        << method_name(method);
  }
}

TEST_F(CalibrationTest, StatisticsOfAnotherModelAreRefused) {
  prepare(kDifferentHeads);
  ConvertOptions by_text = options("text");
  by_text.calibration.layer_steps = 0;
  by_text.calibration.save_statistics = at("statistics.safetensors");
  run(by_text);
  TinyModelSpec other = kDifferentHeads;
  other.seed = 2;
  write_tiny_model(at("other"), other);
  ConvertOptions wrong = options("out");
  wrong.model = at("other");
  wrong.calibration = {.statistics = at("statistics.safetensors")};
  expect_error<CheckpointError>("STATS_MODEL", [&] { run(wrong); });
  wrong.calibration.statistics = at("other/model.safetensors");
  expect_error<CheckpointError>("STATS_FORMAT", [&] { run(wrong); });
  EXPECT_FALSE(path_exists(at("out.partial")));
}

TEST_F(CalibrationTest, TooLittleTextSaysHowMuchIsNeeded) {
  prepare(kDifferentHeads, 90);
  // Wo is fitted over 6 heads of 8: 2 * 48 tokens at least.
  const ErrorInfo error =
      expect_error<CheckpointError>("TEXT_TOO_SHORT", [&] { run(options("out")); });
  EXPECT_NE(error.message.find("at least 96 tokens"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("found 90 tokens"), std::string::npos) << error.message;
  EXPECT_FALSE(path_exists(at("out.partial")));
}

TEST_F(CalibrationTest, IdsBeyondTheVocabularyAreRefused) {
  prepare(kDifferentHeads);
  TokenFileWriter writer(at("text.bin"), 1000);
  writer.add(std::vector<int32_t>(500, 999));
  writer.finish();
  expect_error<CheckpointError>("TOKENS_RANGE", [&] { run(options("out")); });
  EXPECT_FALSE(path_exists(at("out.partial")));
}

TEST_F(CalibrationTest, ActivationsThatAreNotFiniteNameTheLayer) {
  write_tokens(at("text.bin"), 4096);
  const std::string name = "model.layers.1.self_attn.o_proj.weight";
  write_model_with(at("in"), kDifferentHeads, {{name, std::vector<double>(40 * 48, 1e38)}});
  const ErrorInfo error =
      expect_error<CheckpointError>("CALIBRATION_NONFINITE", [&] { run(options("out")); });
  EXPECT_NE(error.message.find("layer 1"), std::string::npos) << error.message;
}

TEST_F(CalibrationTest, AsManyHeadsAsBeforeIsACopy) {
  prepare(kDifferentHeads);
  ConvertOptions same = options("out");
  same.n_kv_heads = 6;
  run(same);
  EXPECT_EQ(InputFile(at("in/model.safetensors")).read_all(),
            InputFile(at("out/model.safetensors")).read_all());
}

/// The projection that comes out.
at::Tensor solved(const OutputRefit& fit, const at::Tensor& start, const OutputRefit& held_out) {
  return fit.solve(start, held_out).added_to(start);
}

TEST(OutputRefit, RecoversALinearMap) {
  const at::Tensor heads = random_tensor({400, 12}, 1);
  const at::Tensor truth = random_tensor({7, 12}, 2, at::kDouble);
  const at::Tensor wanted = at::matmul(heads.to(at::kDouble), truth.t()).to(at::kFloat);
  OutputRefit refit(12, 7);
  const at::Tensor weight = at::ones({400, 1});
  const at::Tensor nothing = at::zeros({400, 7});
  const auto add = [&](int64_t first, int64_t count) {
    refit.add(heads.narrow(0, first, count), wanted.narrow(0, first, count),
              nothing.narrow(0, first, count), weight.narrow(0, first, count));
  };
  add(0, 150);
  add(150, 250);
  EXPECT_LE(relative_error(solved(refit, random_tensor({7, 12}, 3), refit), truth), 1e-3);
  // What is right already stays exactly: the ridge pulls towards the start, not towards zero.
  EXPECT_LE(relative_error(solved(refit, truth, refit), truth), 1e-6);
}

/// 60 tokens to fit 12 heads, 30 held out; what the layers below left out is `carried`.
OutputRefit refit_of(int64_t first, int64_t count, const at::Tensor& own,
                     const at::Tensor& carried) {
  const at::Tensor heads = random_tensor({90, 12}, 1).narrow(0, first, count);
  OutputRefit refit(12, 7);
  refit.add(heads, own.narrow(0, first, count), carried.narrow(0, first, count),
            at::ones({count, 1}));
  return refit;
}

at::Tensor linear_map(const at::Tensor& map) {
  return at::matmul(random_tensor({90, 12}, 1).to(at::kDouble), map.t()).to(at::kFloat);
}

TEST(OutputRefit, LearnsNoNoiseByHeart) {
  const at::Tensor truth = random_tensor({7, 12}, 2, at::kDouble);
  const at::Tensor start = random_tensor({7, 12}, 3);
  const at::Tensor own = linear_map(truth);
  const at::Tensor noise = random_tensor({90, 7}, 4).mul(5);
  const OutputRefit train = refit_of(0, 60, own, noise);
  const double plain = relative_error(solved(train, start, train), truth);
  const double chosen = relative_error(solved(train, start, refit_of(60, 30, own, noise)), truth);
  EXPECT_GT(plain, 0.5);
  EXPECT_LT(chosen, 0.2 * plain);
}

TEST(OutputRefit, CorrectsWhatTheLayersBelowLeftOut) {
  const at::Tensor truth = random_tensor({7, 12}, 2, at::kDouble);
  const at::Tensor left_out = random_tensor({7, 12}, 5, at::kDouble);
  const at::Tensor own = linear_map(truth);
  const at::Tensor carried = linear_map(left_out);
  const at::Tensor start = random_tensor({7, 12}, 3);
  const OutputChange found =
      refit_of(0, 60, own, carried).solve(start, refit_of(60, 30, own, carried));
  EXPECT_LE(relative_error(found.own.add(start), truth), 1e-2);
  EXPECT_LE(relative_error(found.carried, left_out), 1e-2);
}

TEST(OutputRefit, KeepsWhatHeldOutTokensGainNothingOn) {
  const at::Tensor truth = random_tensor({7, 12}, 2, at::kDouble);
  const at::Tensor start = random_tensor({7, 12}, 3);
  const at::Tensor own = linear_map(truth);
  const at::Tensor opposite = linear_map(start.to(at::kDouble).mul(2).sub(truth));
  const at::Tensor nothing = at::zeros({90, 7});
  const at::Tensor found =
      solved(refit_of(0, 60, own, nothing), start, refit_of(60, 30, opposite, nothing));
  EXPECT_TRUE(found.equal(start.to(at::kDouble)));
}

// What is read before OUT.partial is opened changes nothing there: exit 75 where an earlier run can go on.
TEST_F(CalibrationTest, StoppedWhileItReadsItKeepsTheEarlierRun) {
  prepare(kDifferentHeads);
  ConvertOptions by = options("out");
  by.calibration = {};
  const auto convert = [&](const ProgressFunction& bytes) {
    plan_and_convert(ModelFolder::open(by.model), by, {bytes, {}});
  };
  const auto stopped = [&] {
    set_stop_signal(SIGTERM);
    convert({});
  };
  expect_error<Error>("INTERRUPTED", stopped);
  EXPECT_FALSE(path_exists(at("out.partial")));
  set_stop_signal(0);
  EXPECT_THROW(convert([](int64_t, int64_t) { throw std::runtime_error("killed"); }),
               std::runtime_error);
  const std::string left = read_tree(at("out.partial"));
  expect_error<StoppedError>("STOPPED", stopped);
  EXPECT_TRUE(read_tree(at("out.partial")) == left);
  by.output.resume = ResumeMode::kNever;
  expect_error<Error>("INTERRUPTED", stopped);
  set_stop_signal(0);
}

}  // namespace
}  // namespace regroup::testing
