// With a KV cache a sequence may come in pieces: the logits are those of the whole.
#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/decoder_tools.h"
#include "regroup/checkpoint/kv_cache.h"

namespace regroup::testing {
namespace {

at::Tensor in_pieces(const Decoder& decoder, const at::Tensor& ids,
                     const std::vector<int64_t>& lengths) {
  KvCache cache(decoder.config(), ids.size(0), ids.size(1) + 3, decoder.dtype(), decoder.device());
  std::vector<at::Tensor> parts;
  int64_t at = 0;
  for (const int64_t length : lengths) {
    const at::Tensor piece = ids.narrow(1, at, length).to(decoder.device());
    parts.push_back(decoder.logits(decoder.hidden(piece, &cache)).to(at::kCPU));
    at += length;
    EXPECT_EQ(cache.length(), at);
  }
  return at::cat(parts, 1);
}

TEST(DecodeCache, PiecesGiveTheLogitsOfTheWhole) {
  const c10::InferenceMode no_gradients;
  const std::pair<const char*, TinyModelSpec> specs[] = {
      {"MHA", {}},
      {"grouped", {.n_heads = 6, .n_kv_heads = 3, .head_dim = 10, .hidden_size = 36}},
      {"MQA", {.n_heads = 8, .n_kv_heads = 1, .attention_bias = true}},
      {"window", {.model_type = "mistral", .n_kv_heads = 2, .sliding_window = 5}},
      {"window in later layers",
       {.model_type = "qwen2", .n_layers = 3, .n_kv_heads = 2, .sliding_window = 5}},
      {"a part turned", {.model_type = "stablelm", .n_kv_heads = 2, .attention_bias = true}},
      {"window of 1", {.model_type = "mistral", .n_kv_heads = 2, .sliding_window = 1}},
  };
  const std::vector<int64_t> lengths[] = {
      std::vector<int64_t>(17, 1), {17}, {3, 1, 5, 1, 7}, {16, 1}, {1, 16}, {4, 4, 4, 5}};
  for (const at::Device device : devices()) {
    for (const auto& [why, spec] : specs) {
      const TemporaryFolder temporary;
      write_tiny_model(temporary / "model", spec);
      const Decoder decoder = load_folder(temporary / "model", at::kFloat, device);
      const at::Tensor ids = random_ids(2, 17, spec.vocab_size, 1);
      const at::Tensor whole = all_logits(decoder, ids);
      for (const auto& pieces : lengths) {
        EXPECT_LE(relative_error(in_pieces(decoder, ids, pieces), whole), 1e-5)
            << why << " in " << fmt::format("{}", pieces.size()) << " pieces on " << device;
      }
    }
  }
}

// A sequence of a batch gives what it gives alone.
TEST(DecodeCache, SequencesOfABatchDoNotMix) {
  const c10::InferenceMode no_gradients;
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {.n_kv_heads = 2});
  for (const at::Device device : devices()) {
    const Decoder decoder = load_folder(temporary / "model", at::kFloat, device);
    const at::Tensor ids = random_ids(3, 9, 64, 1);
    const at::Tensor together = in_pieces(decoder, ids, {4, 1, 1, 3});
    for (int64_t row = 0; row < 3; ++row) {
      EXPECT_LE(relative_error(together.narrow(0, row, 1),
                               in_pieces(decoder, ids.narrow(0, row, 1), {9})),
                1e-5);
    }
  }
}

// 2 (K and V) x 2 layers x 3 sequences x 2 heads x 20 positions x 8 values x 2 bytes = 7,680.
TEST(DecodeCache, BytesAreThoseComputed) {
  const ModelConfig config = parse_model_config(tiny_config({.n_kv_heads = 2}), "config.json");
  const KvCache cache(config, 3, 20, at::kBFloat16, at::kCPU);
  EXPECT_EQ(cache.bytes(), 7680);
  EXPECT_EQ(cache.bytes(), kv_bytes_per_token(config, 2, 16) * 3 * 20);
  EXPECT_EQ(cache.capacity(), 20);
  EXPECT_EQ(cache.length(), 0);
}

// Later tokens change nothing before them: the attention is causal, the window exact.
TEST(DecodeCache, ATokenSeesItsWindowOnly) {
  const c10::InferenceMode no_gradients;
  const TemporaryFolder temporary;
  const TinyModelSpec spec{
      .model_type = "mistral", .n_layers = 1, .n_kv_heads = 2, .sliding_window = 5};
  write_tiny_model(temporary / "model", spec);
  const Decoder decoder = load_folder(temporary / "model");
  const at::Tensor ids = random_ids(1, 17, 64, 1);
  const at::Tensor before = all_logits(decoder, ids);
  at::Tensor changed = ids.clone();
  changed[0][6] = (ids[0][6].item<int64_t>() + 1) % 64;
  const at::Tensor after = all_logits(decoder, changed);
  for (int64_t i = 0; i < 17; ++i) {  // key 6 is visible to queries 6 .. 10
    EXPECT_EQ(before[0][i].equal(after[0][i]), i < 6 || i > 10) << i;
  }
}

}  // namespace
}  // namespace regroup::testing
