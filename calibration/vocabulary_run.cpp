#include "vocabulary_run.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <span>
#include <vector>

#include "calibrated_layer.h"
#include "regroup/checkpoint/rope.h"
#include "regroup/checkpoint/uniform_stream.h"
#include "regroup/convert/calibration_sizes.h"

namespace regroup {
namespace {

using at::Tensor;

/// cos and sin of the processor's float32 differ in the last bit.
RopeTable rope_in_double(const ModelConfig& config, int64_t count) {
  const auto frequencies =
      rope_frequencies(config.rope, config.rotary_dim, count, config.max_positions);
  const Tensor angles =
      at::outer(at::arange(count, at::kDouble), at::tensor(frequencies, at::kDouble));
  const double gain = config.rope.attention_factor;
  return {angles.cos().mul(gain), angles.sin().mul(gain)};
}

/// [tokens, hidden] float64: rows of the embedding, the others are not read.
Tensor drawn_embeddings(const ModelFolder& model, int64_t tokens, uint64_t seed) {
  const ModelConfig& config = model.config();
  const std::string name = tensor_name(config, Role::kEmbedding);
  const Dtype dtype = model.locate(name).info->dtype;
  const auto hidden = static_cast<size_t>(config.hidden_size);
  std::vector<std::byte> row(hidden * static_cast<size_t>(dtype_bits(dtype) / 8));
  const Tensor rows = at::empty({tokens, config.hidden_size}, at::kDouble);
  UniformStream random(seed, "vocabulary");
  for (int64_t t = 0; t < tokens; ++t) {
    const auto id =
        static_cast<int64_t>(random.next_bits() % static_cast<uint64_t>(config.vocab_size));
    model.read(name, id * static_cast<int64_t>(row.size()), row);
    widen(dtype, row, std::span(rows.data_ptr<double>() + t * config.hidden_size, hidden));
  }
  return rows;
}

}  // namespace

VocabularyRun::VocabularyRun(const ModelFolder& model, uint64_t seed) : config_(model.config()) {
  const int64_t seq = std::min(kVocabularyWindow, longest_context(config_));
  const int64_t windows = kVocabularyTokens / seq;
  rope_ = rope_in_double(config_, seq);
  stream_ = drawn_embeddings(model, windows * seq, seed).view({windows, seq, -1});
}

LayerStatistics VocabularyRun::next(int64_t layer, const LayerWeights& weights) {
  MomentAccumulator moments(config_.hidden_size);
  const int64_t at_once = std::max<int64_t>(1, kVocabularyTokensAtOnce / stream_.size(1));
  for (int64_t at = 0; at < stream_.size(0); at += at_once) {
    const Tensor x = stream_.narrow(0, at, std::min(at_once, stream_.size(0) - at));
    moments.add(norm(x, weights.input_norm, config_.norm_eps));
    x.copy_(through_layer(config_, weights, layer, x, rope_));
  }
  const Tensor moment = moments.mean();
  if (!moment.isfinite().all().item<bool>()) return weights_only_statistics(weights.input_norm);
  return {moment, {}};
}

}  // namespace regroup
