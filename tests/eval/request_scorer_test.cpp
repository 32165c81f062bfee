// Log-likelihoods of requests: as of each fed alone, whatever is fed with it.
#include "regroup/eval/request_scorer.h"

#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "model/decoder_tools.h"
#include "request_batches.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// Items whose requests begin alike: a context of `lengths[i]` tokens, and choices of 1 to `choices` tokens.
std::vector<TokenRequest> items(const std::vector<int64_t>& lengths, int64_t choices) {
  std::vector<TokenRequest> requests;
  uint64_t seed = 1;
  const auto ids = [&](int64_t n) {
    const at::Tensor t = random_ids(1, n, 64, seed++);
    return std::vector<int64_t>(t.data_ptr<int64_t>(), t.data_ptr<int64_t>() + n);
  };
  for (size_t item = 0; item < lengths.size(); ++item) {
    const std::vector<int64_t> context = ids(lengths[item]);
    for (int64_t c = 1; c <= choices; ++c) {
      TokenRequest request{.ids = context, .scored = c, .item = item};
      const std::vector<int64_t> choice = ids(c);
      request.ids.insert(request.ids.end(), choice.begin(), choice.end());
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

std::vector<RequestScore> score(const Decoder& model, const std::vector<TokenRequest>& requests,
                                const RequestBatching& batching = {}) {
  std::vector<RequestScore> scores;
  score_requests(model, requests, batching, scores);
  return scores;
}

/// Of the request alone, by the definition.
RequestScore alone(const Decoder& model, const TokenRequest& request) {
  const c10::InferenceMode no_gradients;
  const auto n = static_cast<int64_t>(request.ids.size());
  const at::Tensor ids = at::tensor(request.ids, at::kLong).unsqueeze(0);
  const at::Tensor logits = model.logits(model.hidden(ids.narrow(1, 0, n - 1).to(model.device())))
                                .to(at::kCPU, at::kDouble)[0];
  const at::Tensor log_probs = at::log_softmax(logits, -1);
  RequestScore score{.log_likelihood = 0, .greedy = true};
  for (int64_t j = n - 1 - request.scored; j < n - 1; ++j) {
    const int64_t target = request.ids[static_cast<size_t>(j + 1)];
    score.log_likelihood += log_probs[j][target].item<double>();
    const bool likeliest = logits[j].argmax().item<int64_t>() == target;
    score.greedy = score.greedy && likeliest;
    score.matched += likeliest ? 1 : 0;
  }
  return score;
}

class Scorer : public ::testing::Test {
 protected:
  explicit Scorer(TinyModelSpec spec = {.n_layers = 2}) {
    write_tiny_model(folder_ / "model", spec);
  }
  void expect_alone(const std::vector<TokenRequest>& requests, const RequestBatching& batching) {
    for (const at::Device device : devices()) {
      const Decoder model = load_folder(folder_ / "model", at::kFloat, device);
      const auto scores = score(model, requests, batching);
      ASSERT_EQ(scores.size(), requests.size());
      for (size_t i = 0; i < requests.size(); ++i) {
        const RequestScore expected = alone(model, requests[i]);
        EXPECT_NEAR(scores[i].log_likelihood, expected.log_likelihood, 2e-5) << i;
        EXPECT_EQ(scores[i].greedy, expected.greedy) << i;
        EXPECT_EQ(scores[i].matched, expected.matched) << i;
      }
    }
  }
  TemporaryFolder folder_;
};

TEST_F(Scorer, SharedPrefixes) { expect_alone(items({20, 9, 33, 20, 12, 8, 20, 40}, 4), {}); }

TEST_F(Scorer, SmallBatches) {
  expect_alone(items({20, 9, 33, 20, 12, 8, 20, 40}, 4), {.batch_tokens = 30});
}

TEST_F(Scorer, NothingShared) {
  expect_alone(items({20, 9, 33, 20, 12}, 4), {.share_prefixes = false});
}

TEST_F(Scorer, ShortContexts) { expect_alone(items({1, 2, 3, 1, 2, 3}, 3), {}); }

TEST_F(Scorer, ContinuationsOfOneToken) { expect_alone(items({20, 21, 22, 23, 90, 24}, 1), {}); }

// The continuation's own first tokens are shared too.
TEST_F(Scorer, ChoicesThatBeginAlike) {
  std::vector<TokenRequest> requests = items({15}, 1);
  for (const std::vector<int64_t>& more : {std::vector<int64_t>{5, 6}, {5, 7, 8}, {5}}) {
    TokenRequest request = requests.front();
    request.ids.insert(request.ids.end(), more.begin(), more.end());
    request.scored += static_cast<int64_t>(more.size());
    requests.push_back(std::move(request));
  }
  expect_alone(requests, {});
}

// A token that is the likeliest one is told from one that is not.
TEST_F(Scorer, GreedyTokensAreGreedy) {
  const Decoder model = load_folder(folder_ / "model");
  std::vector<TokenRequest> requests = items({12}, 1);
  const c10::InferenceMode no_gradients;
  const at::Tensor ids = at::tensor(requests[0].ids, at::kLong).unsqueeze(0).narrow(1, 0, 12);
  const auto best = model.logits(model.hidden(ids))[0][11].argmax().item<int64_t>();
  requests[0].ids.back() = best;
  EXPECT_TRUE(score(model, requests)[0].greedy);
  requests[0].ids.back() = (best + 1) % 64;
  EXPECT_FALSE(score(model, requests)[0].greedy);
}

// The order of the items changes no bit of a score.
TEST_F(Scorer, OrderDoesNotMatter) {
  const Decoder model = load_folder(folder_ / "model");
  constexpr size_t kChoices = 3;
  const std::vector<TokenRequest> requests = items({20, 9, 33, 20, 12, 8, 20, 40}, kChoices);
  const auto scores = score(model, requests);
  std::vector<TokenRequest> reordered;  // the last item first
  for (size_t item = requests.size() / kChoices; item-- > 0;) {
    for (size_t c = 0; c < kChoices; ++c) reordered.push_back(requests[item * kChoices + c]);
  }
  const auto others = score(model, reordered);
  for (size_t i = 0; i < scores.size(); ++i) {
    const size_t item = requests.size() / kChoices - 1 - i / kChoices;
    EXPECT_EQ(scores[i].log_likelihood, others[item * kChoices + i % kChoices].log_likelihood) << i;
  }
}

TEST_F(Scorer, GoesOnWithWhatIsMissing) {
  const Decoder model = load_folder(folder_ / "model");
  const std::vector<TokenRequest> requests = items({20, 9, 33, 20, 12, 8, 20, 40}, 3);
  const auto whole = score(model, requests, {.batch_tokens = 60});
  std::vector<RequestScore> scores;
  int batches = 0;
  EXPECT_THROW(score_requests(model, requests, {.batch_tokens = 60}, scores,
                              [&](int64_t) {
                                if (++batches == 2) throw std::runtime_error("stopped");
                              }),
               std::runtime_error);
  const auto known = std::count_if(scores.begin(), scores.end(), is_scored);
  EXPECT_GT(known, 0);
  EXPECT_LT(known, static_cast<int64_t>(scores.size()));
  int further = 0;
  score_requests(model, requests, {.batch_tokens = 60}, scores, [&](int64_t) { ++further; });
  EXPECT_EQ(further + 2,
            static_cast<int>(
                make_request_batches(requests, model.config(), {.batch_tokens = 60}).size()));
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i].log_likelihood, whole[i].log_likelihood) << i;
  }
}

// One batch over a long context takes minutes: it must be seen to move.
TEST_F(Scorer, TellsOfEachLayerOfABatch) {
  const Decoder model = load_folder(folder_ / "model");
  const std::vector<TokenRequest> requests = items({20, 9, 33, 20, 12, 8, 20, 40}, 3);
  const RequestBatching batching = {.batch_tokens = 60};
  const auto batches = make_request_batches(requests, model.config(), batching);
  int64_t tokens = 0;
  for (const RequestBatch& batch : batches) tokens += static_cast<int64_t>(batch.ids.size());
  std::vector<RequestProgress> told;
  std::vector<RequestScore> scores;
  const auto note = [&](const RequestProgress& now) { told.push_back(now); };
  score_requests(model, requests, batching, scores, {}, note);
  ASSERT_EQ(told.size(), 3 * batches.size()) << "two layers and the end of each";
  EXPECT_GT(told[0].share, 0);
  EXPECT_GT(told[0].tokens, 0);
  EXPECT_EQ(told[0].requests, 0);
  for (size_t i = 1; i < told.size(); ++i) {
    EXPECT_GE(told[i].share, told[i - 1].share) << i;
    EXPECT_GE(told[i].tokens, told[i - 1].tokens) << i;
    EXPECT_EQ(told[i].all_tokens, tokens);
  }
  EXPECT_EQ(told.back().share, 1);
  EXPECT_EQ(told.back().tokens, tokens);
  EXPECT_EQ(told.back().requests, static_cast<int64_t>(requests.size()));
  // What is known from before takes no time, and counts for none of it.
  for (const size_t i : batches.front().requests) scores[i] = unscored();
  told.clear();
  score_requests(model, requests, batching, scores, {}, note);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told.back().all_tokens, static_cast<int64_t>(batches.front().ids.size()));
  EXPECT_EQ(told.back().share, 1);
  model.hidden(random_ids(1, 8, 64, 1));
  EXPECT_EQ(told.size(), 3u) << "nobody asks any more";
}

TEST_F(Scorer, NoNumberIsAnError) {
  const Decoder model = load_folder(folder_ / "model");
  const_cast<Decoder&>(model).embedding().fill_(std::numeric_limits<float>::quiet_NaN());
  expect_error<CheckpointError>("VAL_NONFINITE", [&] { score(model, items({9, 9}, 2)); });
}

struct WindowScorer : Scorer {
  WindowScorer() : Scorer({.model_type = "mistral", .n_layers = 2, .sliding_window = 6}) {}
};

TEST_F(WindowScorer, AWindowOverTheSeam) { expect_alone(items({20, 9, 33, 20, 12}, 4), {}); }

struct LengthScorer : Scorer {
  LengthScorer()
      : Scorer({.model_type = "phi3",
                .n_layers = 1,
                .extra_config = {{"original_max_position_embeddings", 16},
                                 {"rope_scaling",
                                  {{"type", "longrope"},
                                   {"short_factor", {1.0, 1.0, 1.0, 1.0}},
                                   {"long_factor", {2.0, 3.0, 4.0, 5.0}}}}}}) {}
};

// Requests around the length at which longrope turns otherwise: each is fed as it would be alone.
TEST_F(LengthScorer, PositionsThatDependOnTheLength) {
  expect_alone(items({12, 13, 14, 15, 16, 20}, 4), {});
}

/// The tokens of requests[member] that a batch feeds, read back.
std::vector<int64_t> fed_of(const RequestBatch& batch, size_t member, size_t count) {
  std::vector<int64_t> ids;
  for (size_t j = 0; j < count; ++j) {
    ids.push_back(batch.ids[static_cast<size_t>(batch.row_of(member, static_cast<int64_t>(j)))]);
  }
  return ids;
}

struct Batches : ::testing::Test {
  Batches() { write_tiny_model(folder_ / "model", {.n_layers = 1}); }
  std::vector<RequestBatch> make(const std::vector<TokenRequest>& requests,
                                 const RequestBatching& batching = {}) const {
    return make_request_batches(requests, ModelFolder::open(folder_ / "model").config(), batching);
  }
  TemporaryFolder folder_;
};

// Every request once, its own tokens in its order, no more tokens than allowed and none without a request.
TEST_F(Batches, FeedEveryRequest) {
  std::vector<TokenRequest> requests = items({20, 9, 33, 20, 12, 8, 20, 40}, 4);
  requests.push_back(requests.front());
  requests.push_back({.ids = {requests[0].ids.begin(), requests[0].ids.begin() + 5}, .scored = 1});
  for (const RequestBatching& batching :
       {RequestBatching{}, RequestBatching{.batch_tokens = 60}, RequestBatching{.batch_tokens = 1},
        RequestBatching{.batch_tokens = 60, .share_prefixes = false}}) {
    std::vector<int> seen(requests.size());
    for (const RequestBatch& batch : make(requests, batching)) {
      EXPECT_EQ(batch.tree.size(), static_cast<int64_t>(batch.ids.size()));
      if (batching.batch_tokens > 0 && batch.requests.size() > 1) {
        const auto first = static_cast<int64_t>(requests[batch.requests[0]].ids.size()) - 1;
        const int64_t shared = batching.share_prefixes ? first + batching.batch_tokens / 4 : 0;
        EXPECT_LE(batch.tree.size(), std::max(batching.batch_tokens, shared));
      }
      std::vector<bool> used(batch.ids.size());
      for (size_t member = 0; member < batch.requests.size(); ++member) {
        const TokenRequest& request = requests[batch.requests[member]];
        ++seen[batch.requests[member]];
        const size_t count = request.ids.size() - 1;
        EXPECT_EQ(fed_of(batch, member, count),
                  std::vector<int64_t>(request.ids.begin(), request.ids.end() - 1));
        for (size_t j = 0; j < count; ++j) {
          used[static_cast<size_t>(batch.row_of(member, static_cast<int64_t>(j)))] = true;
        }
      }
      EXPECT_EQ(std::count(used.begin(), used.end(), false), 0);
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<int64_t>(requests.size()));
  }
}

// What requests begin with is fed once, within a question and among questions: 20 tokens, and behind them 0 to 3 of
// four choices.
TEST_F(Batches, SharedTokensAreFedOnce) {
  const auto batches = make(items({20}, 4));
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].tree.size(), 20 + 0 + 1 + 2 + 3);
  EXPECT_EQ(make(items({20}, 4), {.share_prefixes = false})[0].tree.size(), 4 * 20 + 6);
  EXPECT_EQ(make(items({200}, 4), {.batch_tokens = 100}).size(), 1u) << "longer than a batch";
  EXPECT_EQ(make(items({200, 200}, 4), {.batch_tokens = 100}).size(), 2u);
  std::vector<TokenRequest> examples;
  for (int64_t question = 0; question < 10; ++question) {
    TokenRequest request{.ids = std::vector<int64_t>(30, 7), .scored = 1};
    request.ids.insert(request.ids.end(), {question, 1, 2});
    examples.push_back(std::move(request));
  }
  EXPECT_EQ(make(examples)[0].tree.size(), 30 + 10 * 2);
}

}  // namespace
}  // namespace regroup::testing
