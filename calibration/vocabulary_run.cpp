#include "vocabulary_run.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "calibrated_layer.h"
#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/uniform_stream.h"
#include "regroup/checkpoint/rope.h"
#include "regroup/convert/calibration_sizes.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr int64_t kDrawsAToken = 64;  // at most, where rows are not finite

/// cos and sin of the processor's float32 differ in the last bit.
RopeTables rope_in_double(const ModelConfig& config, int64_t count) {
  const auto table = [&](const RopeConfig& rope) {
    const auto frequencies = rope_frequencies(rope, config.rotary_dim, count, config.max_positions);
    const Tensor angles =
        at::outer(at::arange(count, at::kDouble), at::tensor(frequencies, at::kDouble));
    const double gain = rope.attention_factor;
    return RopeTable{angles.cos().mul(gain), angles.sin().mul(gain)};
  };
  return {table(config.rope), table(config.sliding_rope.value_or(config.rope))};
}

[[noreturn]] void refuse_nonfinite(const ModelFolder& model, const std::string& where) {
  throw CheckpointError(
      {.code = "CALIBRATION_NONFINITE",
       .message = fmt::format("tokens of the vocabulary must have finite activations, found NaN or "
                              "infinity {}",
                              where),
       .path = model.path(),
       .hint = "check the model with `regroup eval`; `method` align-norm runs no tokens"});
}

/// [tokens, hidden] float64: rows of the embedding, the others are not read. Where a row is not finite, another
/// token is drawn.
Tensor drawn_embeddings(const ModelFolder& model, int64_t tokens, uint64_t seed) {
  const ModelConfig& config = model.config();
  const std::string name = tensor_name(config, Role::kEmbedding);
  const Dtype dtype = model.locate(name).info->dtype;
  const auto hidden = static_cast<size_t>(config.hidden_size);
  std::vector<std::byte> row(hidden * static_cast<size_t>(dtype_bits(dtype) / 8));
  const Tensor rows = at::empty({tokens, config.hidden_size}, at::kDouble);
  UniformStream random(seed, "vocabulary");
  int64_t draws_left = kDrawsAToken * tokens;
  for (int64_t t = 0; t < tokens; --draws_left) {
    if (draws_left == 0) refuse_nonfinite(model, "in most rows of " + name);
    const uint64_t id = random.next_bits() % static_cast<uint64_t>(config.vocab_size);
    model.read(name, static_cast<int64_t>(id * row.size()), row);
    int64_t first = 0;
    if (count_nonfinite(dtype, row, &first) > 0) continue;
    widen(dtype, row, std::span(rows.data_ptr<double>() + t * config.hidden_size, hidden));
    ++t;
  }
  return rows;
}

/// Of a power of two, so that all windows are whole.
int64_t window_length(const ModelConfig& config) {
  int64_t seq = kVocabularyWindow;
  while (seq > longest_context(config)) seq /= 2;
  return std::max<int64_t>(1, seq);
}

}  // namespace

VocabularyRun::VocabularyRun(const ModelFolder& model, uint64_t seed)
    : model_(model), config_(model.config()) {
  const int64_t seq = window_length(config_);
  make_rope_tables(config_, 1, 1, at::kCPU);  // throws where attention cannot be computed
  rope_ = rope_in_double(config_, seq);
  stream_ = embedded(config_, drawn_embeddings(model, kVocabularyTokens, seed))
                .view({kVocabularyTokens / seq, seq, config_.hidden_size});
}

LayerStatistics VocabularyRun::next(int64_t layer, const LayerWeights& weights) {
  MomentAccumulator moments(config_.hidden_size);
  const bool goes_on = layer + 1 < config_.n_layers;
  const int64_t at_once = std::max<int64_t>(1, kVocabularyTokensAtOnce / stream_.size(1));
  for (int64_t at = 0; at < stream_.size(0); at += at_once) {
    throw_if_stopped(/*resumable=*/false);
    const Tensor x = stream_.narrow(0, at, std::min(at_once, stream_.size(0) - at));
    moments.add(norm(x, weights.input_norm, config_.norm_eps));
    if (goes_on) x.copy_(through_layer(config_, weights, layer, x, rope_));
  }
  const Tensor moment = moments.mean();
  if (!moment.isfinite().all().item<bool>()) {
    refuse_nonfinite(model_, fmt::format("before layer {}", layer));
  }
  return {moment, {}};
}

}  // namespace regroup
