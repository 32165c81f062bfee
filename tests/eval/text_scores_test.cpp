// Losses, KL and agreement on windows of a stream.
#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/decoder_tools.h"
#include "regroup/eval/text_eval.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

TokenStream stream_of(std::vector<int64_t> ids) {
  return {.name = "text", .ids = std::move(ids), .bytes = {}, .words = {}};
}

TokenStream random_stream(int64_t n, uint64_t seed = 1) {
  const at::Tensor ids = random_ids(1, n, 64, seed);
  return stream_of({ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + n});
}

std::vector<TextScore> score(const std::vector<const Decoder*>& models, int64_t baseline,
                             const TokenStream& stream, WindowOptions windows) {
  return score_text(models, baseline, stream, windows, /*keep_nll=*/true);
}

TEST(Windows, Count) {
  struct Case {
    int64_t n_tokens, seq_len, windows;
  };
  // n tokens give n - 1 predictions, seq_len of them a window.
  const Case cases[] = {{2, 1, 1}, {2, 8, 1}, {9, 8, 1}, {10, 8, 2}, {17, 8, 2}, {18, 8, 3}};
  for (const Case& c : cases) {
    EXPECT_EQ(count_windows(c.n_tokens, c.seq_len), c.windows) << c.n_tokens << " " << c.seq_len;
  }
}

/// Each id's next token has a loss that names the pair: lm_head and embedding make a table.
class TableModel {
 public:
  explicit TableModel(const TinyModelSpec& model = {.n_layers = 1}) {
    write_tiny_model(temporary_ / "model", model);
    decoder_.emplace(load_folder(temporary_ / "model"));
  }
  const Decoder& operator*() const { return *decoder_; }

 private:
  TemporaryFolder temporary_;
  std::optional<Decoder> decoder_;
};

// Ten tokens at seq_len 4: windows of tokens 0-4, 4-8, and 8-9; each starts with an empty cache.
TEST(Windows, EveryTokenIsPredictedOnce) {
  const TableModel model;
  const TokenStream stream = random_stream(10);
  const auto scores = score({&*model}, -1, stream, {.seq_len = 4});
  ASSERT_EQ(scores[0].windows.size(), 3u);
  EXPECT_EQ(scores[0].windows[0].tokens, 4);
  EXPECT_EQ(scores[0].windows[1].tokens, 4);
  EXPECT_EQ(scores[0].windows[2].tokens, 1);
  ASSERT_EQ(scores[0].token_nll.size(), 9u);
  size_t token = 0;
  for (int64_t w = 0; w < 3; ++w) {
    const int64_t first = 4 * w;
    const int64_t n = std::min<int64_t>(4, 9 - first);
    const std::vector<int64_t> window(stream.ids.begin() + first, stream.ids.begin() + first + n);
    const at::Tensor log_probs =
        at::log_softmax(all_logits(*model, at::tensor(window, at::kLong).unsqueeze(0)), -1)[0];
    double nll = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t target = stream.ids[static_cast<size_t>(first + i + 1)];
      const double expected = -log_probs[i][target].item<double>();
      EXPECT_NEAR(scores[0].token_nll[token++], expected, 1e-5);
      nll += expected;
    }
    EXPECT_NEAR(scores[0].windows[static_cast<size_t>(w)].nll, nll, 1e-5);
  }
}

TEST(Windows, TooShortATextIsRefused) {
  const TableModel model;
  for (const TokenStream& stream : {stream_of({}), stream_of({5})}) {
    expect_error("TEXT_TOO_SHORT", [&] { score({&*model}, -1, stream, {.seq_len = 4}); });
  }
  EXPECT_EQ(score({&*model}, -1, stream_of({5, 6}), {.seq_len = 4})[0].windows.size(), 1u);
}

// Batches only change the shape of the GEMMs.
TEST(TextScores, BatchSizeDoesNotMatter) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "a", {.seed = 1});
  write_tiny_model(temporary / "b", {.n_kv_heads = 2, .seed = 2});
  for (const at::Device device : devices()) {
    const Decoder a = load_folder(temporary / "a", at::kFloat, device);
    const Decoder b = load_folder(temporary / "b", at::kFloat, device);
    const TokenStream stream = random_stream(150);
    const auto one = score({&a, &b}, 0, stream, {.seq_len = 16, .batch_size = 1});
    for (const int64_t batch_size : {0, 2, 3, 9, 100}) {
      int64_t last = 0;
      const auto more = score_text({&a, &b}, 0, stream, {.seq_len = 16, .batch_size = batch_size},
                                   true, [&](int64_t done, int64_t all) {
                                     EXPECT_GT(done, last);
                                     last = done;
                                     EXPECT_EQ(all, 10);
                                   });
      EXPECT_EQ(last, 10);
      for (size_t m = 0; m < 2; ++m) {
        ASSERT_EQ(more[m].token_nll.size(), one[m].token_nll.size());
        for (size_t w = 0; w < one[m].windows.size(); ++w) {
          const WindowScore& x = more[m].windows[w];
          const WindowScore& y = one[m].windows[w];
          EXPECT_EQ(x.tokens, y.tokens);
          EXPECT_NEAR(x.nll / y.nll, 1, 1e-6);
          EXPECT_NEAR(x.kl, y.kl, 1e-6 * std::abs(y.nll));
          EXPECT_EQ(x.agreed, y.agreed);
        }
      }
    }
  }
}

// Not about 0: the same numbers come out of the same computation, also from another folder.
TEST(TextScores, AModelAgreesWithItsCopy) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_kv_heads = 2, .dtype = Dtype::kBF16};
  write_tiny_model(temporary / "one", spec);
  TinyModelSpec sharded = spec;
  sharded.n_shards = 3;
  write_tiny_model(temporary / "copy", sharded);
  for (const at::Device device : devices()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const Decoder one = load_folder(temporary / "one", dtype, device);
      const Decoder copy = load_folder(temporary / "copy", dtype, device);
      const auto scores = score({&one, &copy}, 0, random_stream(70), {.seq_len = 16});
      for (const TextScore& s : scores) {
        for (size_t w = 0; w < s.windows.size(); ++w) {
          EXPECT_EQ(s.windows[w].kl, 0);
          EXPECT_EQ(s.windows[w].agreed, s.windows[w].tokens);
          EXPECT_EQ(s.windows[w].nll, scores[0].windows[w].nll);
        }
      }
    }
  }
}

/// Whatever came before, the next token has these logits.
Decoder fixed_logits(const std::vector<double>& logits) {
  const auto vocab = static_cast<int64_t>(logits.size());
  const ModelConfig config =
      parse_model_config(tiny_config({.n_layers = 1, .vocab_size = vocab}), "config.json");
  Decoder decoder(config, at::kFloat, at::kCPU);
  initialize_weights(decoder, 1);
  decoder.layer(0).output.zero_();
  decoder.layer(0).down.zero_();
  decoder.embedding().fill_(1);
  decoder.final_norm().weight.fill_(std::sqrt(1 + config.norm_eps));  // the normed 1 is 1 / this
  decoder.untied_lm_head().zero_();
  for (int64_t id = 0; id < vocab; ++id) {
    decoder.untied_lm_head()[id][0] = logits[static_cast<size_t>(id)];
  }
  return decoder;
}

// P = softmax(2, 1, 0, -1) = (0.643914, 0.236883, 0.087144, 0.032059); KL in nats:
// sum p (log p - log q) = 0.05226770201217215. The other way round it is 0.0561.
TEST(TextScores, KlByHand) {
  const Decoder base = fixed_logits({2, 1, 0, -1});
  const Decoder model = fixed_logits({1.5, 1.2, 0.1, -1.3});
  const auto scores = score({&base, &model}, 0, stream_of({0, 3, 1, 2}), {.seq_len = 8});
  EXPECT_EQ(scores[1].windows[0].tokens, 3);
  EXPECT_NEAR(scores[1].windows[0].kl / 3, 0.05226770201217215, 1e-7);
  EXPECT_EQ(scores[1].windows[0].agreed, 3);  // both hold token 0 for the most likely
  EXPECT_EQ(scores[0].windows[0].kl, 0);
  // Targets 3, 1, 2: -(log p) of 0.032059, 0.236883, 0.087144 = 3.440190 + 1.440190 + 2.440190.
  EXPECT_NEAR(scores[0].windows[0].nll, 3.440190 + 1.440190 + 2.440190, 1e-5);
  const Decoder other = fixed_logits({0, 1, 0, -1});
  EXPECT_EQ(score({&base, &other}, 0, stream_of({0, 3}), {.seq_len = 8})[1].windows[0].agreed, 0);
}

// P and Q are the softmax of these logits; the right tokens are 3, 1 and 2. Every token has the same KL.
TEST(TextScores, DistancesOfTokensByHand) {
  const Decoder base = fixed_logits({2, 1, 0, -1});
  const Decoder model = fixed_logits({1.5, 1.2, 0.1, -1.3});
  const TextScore of = score({&base, &model}, 0, stream_of({0, 3, 1, 2}), {.seq_len = 8})[1];
  const double p = std::exp(2) + std::exp(1) + 1 + std::exp(-1);
  const double q = std::exp(1.5) + std::exp(1.2) + std::exp(0.1) + std::exp(-1.3);
  const double third = std::exp(-1.3) / q - std::exp(-1) / p;  // -0.0021
  const double first = std::exp(1.2) / q - std::exp(1) / p;    // 0.1281
  const double second = std::exp(0.1) / q - 1 / p;             // 0.0347
  EXPECT_NEAR(of.windows[0].delta_p, third + first + second, 1e-6);
  EXPECT_NEAR(of.windows[0].delta_p_squared, third * third + first * first + second * second, 1e-6);
  const auto nll = [](double logit, double sum) { return std::log(sum) - logit; };
  EXPECT_NEAR(of.windows[0].nll_squared,
              std::pow(nll(-1.3, q), 2) + std::pow(nll(1.2, q), 2) + std::pow(nll(0.1, q), 2),
              1e-5);
  EXPECT_NEAR(of.windows[0].nll_product,
              nll(-1.3, q) * nll(-1, p) + nll(1.2, q) * nll(1, p) + nll(0.1, q) * nll(0, p), 1e-5);
  ASSERT_EQ(of.kl_blocks.size(), 1u);
  for (const double share : {0.0, 0.5, 1.0}) {
    EXPECT_NEAR(of.kl_blocks[0].quantile(share), 0.05226770201217215, 1e-7);
  }
  EXPECT_NEAR(of.delta_p_blocks[0].quantile(0), third, 1e-6);
  EXPECT_NEAR(of.delta_p_blocks[0].quantile(0.5), second, second / 128);
  EXPECT_NEAR(of.delta_p_blocks[0].quantile(1), first, 1e-6);
}

// Where the model rules a token out, the KL has no bound; where the baseline does, float32 gives none.
TEST(TextScores, TokensThatAreRuledOut) {
  const Decoder all = fixed_logits({2, 1, 0, -1});
  const Decoder some = fixed_logits({2, 1, 0, -INFINITY});
  const TokenStream stream = stream_of({0, 1, 2, 1});
  const FidelityCurve model = fidelity_curve(score({&all, &some}, 0, stream, {.seq_len = 8})[1]);
  EXPECT_TRUE(std::isinf(model.at(model.kl, 0.5).value));
  const FidelityCurve base = fidelity_curve(score({&some, &all}, 0, stream, {.seq_len = 8})[1]);
  EXPECT_TRUE(std::isnan(base.at(base.kl, 0.5).value));
  EXPECT_LT(base.at(base.delta_p, 0.5).value, 0);
}

// Windows of 17, 17 and 4 predictions: bands 0, 1-15 and 16 hold 3, 15 + 15 + 3 and 2 of them.
TEST(TextScores, AreSummedByPositionToo) {
  const TableModel base;
  const TableModel model({.n_layers = 1, .seed = 5});
  const TokenStream stream = random_stream(39);
  const auto scores = score({&*base, &*model}, 0, stream, {.seq_len = 17, .batch_size = 2});
  for (const TextScore& of : scores) {
    ASSERT_EQ(of.positions.size(), 3u);
    double nll[3] = {};
    for (size_t i = 0; i < 38; ++i) nll[i % 17 == 0 ? 0 : i % 17 < 16 ? 1 : 2] += of.token_nll[i];
    for (size_t band = 0; band < 3; ++band) {
      EXPECT_NEAR(of.positions[band].nll, nll[band], 1e-9);
    }
    double kl = 0;
    int64_t agreed = 0;
    for (const WindowScore& window : of.windows) kl += window.kl, agreed += window.agreed;
    for (const WindowScore& band : of.positions) kl -= band.kl, agreed -= band.agreed;
    EXPECT_NEAR(kl, 0, 1e-9);
    EXPECT_EQ(agreed, 0);
    EXPECT_EQ(of.positions[0].tokens, 3);
    EXPECT_EQ(of.positions[1].tokens, 33);
    EXPECT_EQ(of.positions[2].tokens, 2);
  }
  EXPECT_GT(scores[1].positions[1].kl, 0);
}

TextScore windows_with(const std::vector<double>& nll) {
  TextScore score;
  for (const double sum : nll) score.windows.push_back({.tokens = 4, .nll = sum});
  score.positions = {{.tokens = 4, .nll = nll[0]},
                     {.tokens = 12, .nll = nll[1], .kl = 3, .agreed = 9}};
  return score;
}

// Rises a token: (6 - 4) / 4, (18 - 8) / 4, 0, (13 - 4) / 4: windows 1 and 3 lost more than 2.
TEST(DamageProfiles, NameTheWorstWindows) {
  const DamageProfile found =
      damage_profile(windows_with({6, 18, 4, 13}), windows_with({4, 8, 4, 4}), 4);
  EXPECT_EQ(found.windows, 4);
  EXPECT_EQ(found.collapsed, 2);
  ASSERT_EQ(found.worst.size(), 3u);
  EXPECT_EQ(found.worst[0].window, 1);
  EXPECT_EQ(found.worst[0].first_token, 4);
  EXPECT_DOUBLE_EQ(found.worst[0].rise(), 2.5);
  EXPECT_EQ(found.worst[1].window, 3);
  EXPECT_EQ(found.worst[2].window, 0);
  ASSERT_EQ(found.positions.size(), 2u);
  EXPECT_EQ(found.positions[1].first, 1);
  EXPECT_EQ(found.positions[1].end, 4);
  EXPECT_DOUBLE_EQ(found.positions[1].loss_delta, 10. / 12);
  EXPECT_DOUBLE_EQ(found.positions[1].kl, 0.25);
  EXPECT_DOUBLE_EQ(found.positions[1].agreement, 0.75);
}

// One token at the end of a text that costs 9 nats is no collapsed window.
TEST(DamageProfiles, LeaveOutAShortLastWindow) {
  TextScore score = windows_with({6, 6, 9});
  TextScore baseline = windows_with({4, 4, 0});
  score.windows[2].tokens = baseline.windows[2].tokens = 1;
  const DamageProfile found = damage_profile(score, baseline, 4);
  EXPECT_EQ(found.windows, 2);
  EXPECT_EQ(found.collapsed, 0);
  EXPECT_DOUBLE_EQ(found.worst[0].rise(), 0.5);
  score.windows = {{.tokens = 1, .nll = 9}};
  EXPECT_EQ(damage_profile(score, baseline, 4).windows, 1);  // the only one is
}

// The baseline may stand anywhere in the list, and without one there is no KL.
TEST(TextScores, WhereTheBaselineStands) {
  const Decoder base = fixed_logits({2, 1, 0, -1});
  const Decoder model = fixed_logits({1.5, 1.2, 0.1, -1.3});
  const TokenStream stream = stream_of({0, 3, 1, 2});
  const auto last = score({&model, &base}, 1, stream, {.seq_len = 2});
  const auto first = score({&base, &model}, 0, stream, {.seq_len = 2});
  EXPECT_EQ(last[0].windows[1].kl, first[1].windows[1].kl);
  EXPECT_EQ(last[1].windows[1].kl, 0);
  EXPECT_EQ(score({&model, &base}, -1, stream, {.seq_len = 2})[0].windows[0].kl, 0);
}

TEST(TextScores, NoNumberIsAnError) {
  const Decoder good = fixed_logits({2, 1, 0, -1});
  const Decoder bad = fixed_logits({2, 1, NAN, -1});
  const ErrorInfo error = expect_error("VAL_NONFINITE", [&] {
    score({&good, &bad}, 0, stream_of({0, 3, 1, 2}), {.seq_len = 2});
  });
  EXPECT_EQ(error.message, "model 2 of 2 gives no finite loss on window 0");
}

}  // namespace
}  // namespace regroup::testing
