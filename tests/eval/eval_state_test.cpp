// A stopped evaluation goes on where it was and ends with the same bits.
#include "regroup/eval/eval_state.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "model/decoder_tools.h"
#include "regroup/base/notice.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

const Json kKey = {{"threads", 1}, {"models", {"a", "b"}}};

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class Evaluation : public ::testing::Test {
 protected:
  Evaluation() {
    write_tiny_model(folder_ / "a", {.n_layers = 1});
    write_tiny_model(folder_ / "b", {.n_layers = 1, .seed = 2});
    for (const char* name : {"a", "b"}) models_.push_back(load_folder(folder_ / name));
    for (const uint64_t seed : {1, 2}) {
      const at::Tensor ids = random_ids(1, 150, 64, seed);
      streams_.push_back({.name = "text",
                          .ids = {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + 150},
                          .bytes = {},
                          .words = {}});
    }
  }
  ~Evaluation() override { set_stop_signal(0); }

  /// Scores both texts; asks for a stop behind so many batches of all, 0: never.
  std::vector<std::vector<TextScore>> run(EvalState& state, int stop_after = 0) {
    std::vector<std::vector<TextScore>> scores;
    int batches = 0;
    for (size_t t = 0; t < streams_.size(); ++t) {
      scores.push_back(score_text({&models_[0], &models_[1]}, 0, streams_[t],
                                  {.seq_len = 16, .batch_size = 2}, /*keep_nll=*/true, {},
                                  state.find(t), [&](const PartialScores& now) {
                                    ++n_batches_;
                                    if (++batches == stop_after) set_stop_signal(SIGTERM);
                                    state.update(t, now);
                                  }));
    }
    return scores;
  }

  std::string path() const { return folder_ / "out.json.partial"; }

  TemporaryFolder folder_;
  std::vector<Decoder> models_;
  std::vector<TokenStream> streams_;
  int n_batches_ = 0;
};

TEST_F(Evaluation, GoesOnWithTheSameBits) {
  EvalState none("", kKey);
  const auto expected = run(none);
  const int all = n_batches_;
  ASSERT_EQ(all, 12);  // of each text 9 windows, 2 a batch, and a shorter one
  ASSERT_EQ(expected[0][1].kl_blocks.size(), 10u);
  EXPECT_EQ(expected[0][1].kl_blocks[0].count(), 16);
  EXPECT_EQ(expected[0][1].delta_p_blocks[9].count(), 5);
  for (int stop_after = 1; stop_after <= all; ++stop_after) {
    SCOPED_TRACE(stop_after);
    {
      EvalState state(path(), kKey);
      expect_error<StoppedError>("STOPPED", [&] { run(state, stop_after); });
      set_stop_signal(0);
    }
    n_batches_ = 0;
    EvalState state(path(), kKey);
    const auto scores = run(state);
    EXPECT_EQ(n_batches_, all - stop_after) << "what was scored is not scored again";
    state.finish();
    EXPECT_FALSE(path_exists(path()));
    for (size_t t = 0; t < 2; ++t) {
      for (size_t m = 0; m < 2; ++m) {
        EXPECT_TRUE(same_bits(scores[t][m].windows, expected[t][m].windows));
        EXPECT_TRUE(same_bits(scores[t][m].positions, expected[t][m].positions));
        EXPECT_TRUE(same_bits(scores[t][m].token_nll, expected[t][m].token_nll));
        EXPECT_TRUE(scores[t][m].kl_blocks == expected[t][m].kl_blocks);
        EXPECT_TRUE(scores[t][m].delta_p_blocks == expected[t][m].delta_p_blocks);
      }
    }
  }
}

TEST_F(Evaluation, LeavesAFileThatIsNotItsOwn) {
  folder_.write("out.json.partial", "somebody's");
  EvalState state(path(), kKey);
  run(state);
  state.finish();
  EXPECT_EQ(read_file(path()), "somebody's");
}

TEST_F(Evaluation, ThatKeepsNothingEndsWithTheSignal) {
  EvalState state("", kKey);
  const auto stopped = [&] { run(state, 3); };
  try {
    stopped();
    ADD_FAILURE() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.exit_code()), 143);
  }
}

TEST_F(Evaluation, IsKnownByItsState) {
  EXPECT_FALSE(holds_eval_state(path()));
  for (const char* other : {"", "{}"}) {
    folder_.write("out.json.partial", other);
    EXPECT_FALSE(holds_eval_state(path())) << other;
  }
  EXPECT_FALSE(holds_eval_state(folder_ / "a/model.safetensors"));
  EvalState state(path(), kKey);
  expect_error<StoppedError>("STOPPED", [&] { run(state, 3); });
  EXPECT_TRUE(holds_eval_state(path()));
}

TEST_F(Evaluation, BeginsAnewBesideAnythingElse) {
  EvalState first(path(), kKey);
  expect_error<StoppedError>("STOPPED", [&] { run(first, 3); });
  set_stop_signal(0);
  const std::string whole = read_file(path());
  std::string flipped = whole;
  flipped[whole.size() - 9] ^= 1;
  const std::pair<std::string, Json> cases[] = {{whole, {{"threads", 2}}},
                                                {flipped, kKey},
                                                {whole.substr(0, whole.size() - 1), kKey},
                                                {"", kKey},
                                                {"{}", kKey}};
  for (const auto& [bytes, key] : cases) {
    folder_.write("out.json.partial", bytes);
    std::vector<std::string> notices;
    set_notice_handler([&](const std::string& text) { notices.push_back(text); });
    const EvalState state(path(), key);
    EXPECT_EQ(state.find(0).windows, 0);
    ASSERT_EQ(notices.size(), 1u);
    EXPECT_TRUE(contains(notices[0], path() + ": holds no state of this evaluation"));
    set_notice_handler(nullptr);
  }
  folder_.write("out.json.partial", whole);
  EXPECT_EQ(EvalState(path(), kKey).find(0).windows, 6);
}

TEST(QuestionState, KeepsRequestsAndAnswers) {
  const TemporaryFolder folder;
  const std::string path = folder / "out.json.partial";
  const WrittenAnswers answers = {"a \"b\"\n", std::nullopt, "é", ""};
  const std::vector<RequestScore> scores = {{.log_likelihood = -1.5, .greedy = true, .matched = 2},
                                            {.log_likelihood = std::nan("")}};
  {
    EvalState state(path, kKey);
    set_stop_signal(SIGTERM);
    EXPECT_THROW(state.update_requests("0.mine", scores, false), StoppedError);
    EXPECT_THROW(state.update_answers("0.words", answers, false), StoppedError);
    set_stop_signal(0);
  }
  const EvalState again(path, kKey);
  const auto found = again.find_requests("0.mine");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].log_likelihood, -1.5);
  EXPECT_TRUE(found[0].greedy);
  EXPECT_EQ(found[0].matched, 2);
  EXPECT_TRUE(std::isnan(found[1].log_likelihood));
  EXPECT_EQ(again.find_answers("0.words"), answers);
  EXPECT_TRUE(again.find_requests("1.mine").empty());
  EXPECT_TRUE(EvalState(path, {{"other", 1}}).find_requests("0.mine").empty());
}

}  // namespace
}  // namespace regroup::testing
