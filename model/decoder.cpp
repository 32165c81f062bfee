#include "regroup/model/decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "blocks/cached_attention.h"
#include "blocks/capped_attention.h"
#include "blocks/heads.h"
#include "blocks/rope_rows.h"
#include "blocks/tree_attention.h"
#include "checkpointing.h"
#include "decoding/decode.h"
#include "regroup/model/layer_observer.h"

namespace regroup {

using at::Tensor;

struct Decoder::Step {
  RopeTables rope;
  KvCache* cache = nullptr;
  std::vector<int64_t> lengths = {};  // of each sequence in the cache, with the new tokens
  bool uneven = false;  // a token of each sequence: they stand side by side in one row
  const TreeAttention* tree = nullptr;  // the row is that of a tree
  bool whole = false;                   // no past: each token sees those before it
  Tensor mask = {};         // otherwise [seq, past + seq] bool, or undefined: all is seen
  Tensor window_mask = {};  // the same for layers with a window
};

namespace {

constexpr int64_t kFewestAngles = 256;

}  // namespace

Decoder::Decoder(ModelConfig config, at::ScalarType dtype, at::Device device)
    : config_(std::move(config)), dtype_(dtype), device_(device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto make = [&](std::vector<int64_t> shape) { return at::empty(shape, options); };
  const int64_t hidden = config_.hidden_size;
  embedding_ = make({config_.vocab_size, hidden});
  final_norm_ = allocate_norm(config_, options);
  if (!config_.tie_word_embeddings) lm_head_ = make({config_.vocab_size, hidden});
  if (!tensor_name(config_, Role::kLmHeadBias).empty()) lm_head_bias_ = make({config_.vocab_size});
  for (int64_t i = 0; i < config_.n_layers; ++i) {
    layers_.push_back(allocate_layer(config_, i, dtype, device));
  }
}

Decoder::Decoder(ModelConfig config, const Decoder& shared) : Decoder(shared) {
  config_ = std::move(config);
}

LmHead Decoder::lm_head() const {
  return {lm_head_.defined() ? lm_head_ : embedding_, lm_head_bias_, config_.caps.logits};
}

Tensor Decoder::logits(const Tensor& hidden) const { return lm_head().logits(hidden); }

RopeTables Decoder::rope_tables(int64_t first, int64_t count) const {
  const int64_t needed = first + count;
  // Beyond the trained length dynamic scaling and longrope turn each token by the length so far; the keys in a cache
  // stay as they were turned, as in transformers; who fills it starts anew where longrope changes (turns_anew).
  // Nothing of it can be kept.
  if (config_.rope.depends_on_length(needed, config_.max_positions)) {
    return make_rope_rows(config_, first, count, needed, device_);
  }
  const int64_t held = rope_cache_.full.cos.defined() ? rope_cache_.full.cos.size(0) : 0;
  if (held < needed) {  // doubled, so that a token costs the same however many come
    rope_cache_ =
        make_rope_tables(config_, std::max({needed, 2 * held, kFewestAngles}), needed, device_);
  }
  const auto rows = [&](const RopeTable& t) {
    return RopeTable{t.cos.narrow(0, first, count), t.sin.narrow(0, first, count)};
  };
  return {rows(rope_cache_.full), rows(rope_cache_.sliding)};
}

namespace {

/// The rows of some positions.
RopeTables rows_at(const RopeTables& tables, const Tensor& positions) {
  const auto rows = [&](const RopeTable& t) {
    return RopeTable{t.cos.index_select(0, positions), t.sin.index_select(0, positions)};
  };
  return {rows(tables.full), rows(tables.sliding)};
}

/// One new token of each sequence without decode_attention(): a sequence after the other.
Tensor attend_uneven(const ModelConfig& config, int64_t window, const Tensor& q, const Tensor& k,
                     const Tensor& v, const std::vector<int64_t>& lengths) {
  std::vector<Tensor> mixed;
  for (int64_t row = 0; row < q.size(0); ++row) {
    const int64_t length = lengths[static_cast<size_t>(row)];
    const int64_t seen = window > 0 ? std::min(window, length) : length;
    const auto own = [&](const Tensor& x) {
      return x.narrow(0, row, 1).narrow(2, length - seen, seen);
    };
    const Tensor query = q.narrow(0, row, 1);
    mixed.push_back(config.caps.scores > 0
                        ? capped_attention(query, own(k), own(v), 0, config.caps.scores)
                        : cached_attention(query, own(k), own(v), {}));
  }
  return at::cat(mixed, 0);
}

}  // namespace

Tensor Decoder::attention(const LayerWeights& w, int64_t layer, const Tensor& y,
                          const Step& step) const {
  auto [q, k, v] = project_heads(config_, w, layer, y, step.rope);
  if (step.tree != nullptr) {
    return attention_output(config_, w, step.tree->attend(layer, q, k, v));
  }
  if (step.uneven) {
    for (Tensor* rows : {&q, &k, &v}) *rows = rows->transpose(0, 2);  // [sequences, heads, 1, ...]
  }
  if (step.cache != nullptr) std::tie(k, v) = step.cache->append(layer, k, v);
  const int64_t window = window_of(config_, layer);
  Tensor mixed;
  if (step.whole) {
    mixed = attend_all(config_, layer, q, k, v);
  } else if (config_.caps.scores == 0 && takes_decode_attention(q, k)) {
    mixed = decode_attention(q, k, v, step.lengths, window);
  } else if (step.uneven) {
    mixed = attend_uneven(config_, window, q, k, v, step.lengths);
  } else if (config_.caps.scores > 0) {
    mixed = capped_attention(q, k, v, window, config_.caps.scores);
  } else {
    mixed = cached_attention(q, k, v, window > 0 ? step.window_mask : step.mask);
  }
  if (step.uneven) mixed = mixed.transpose(0, 1);
  return attention_output(config_, w, mixed);
}

std::tuple<Tensor, Tensor> Decoder::run_layer(int64_t layer, const Tensor& x, const Tensor& y,
                                              const Step& step) const {
  const LayerWeights& w = layers_[static_cast<size_t>(layer)];
  return layer_with(w, norm_after(layer), layer, x, y, step);
}

const NormWeights& Decoder::norm_after(int64_t layer) const {
  const bool last = layer + 1 == config_.n_layers;
  return last ? final_norm_ : layers_[static_cast<size_t>(layer + 1)].input_norm;
}

std::tuple<Tensor, Tensor> Decoder::layer_with(const LayerWeights& w, const NormWeights& next,
                                               int64_t layer, const Tensor& x, const Tensor& y,
                                               const Step& step) const {
  const double eps = config_.norm_eps;
  if (config_.parallel) {
    const Tensor read = mlp_input(config_, w, x, y);
    const Tensor both = attention(w, layer, y, step).add(mlp_output(config_, w, read));
    return add_norm(x, both, next, eps);
  }
  const auto [middle, y_mlp] = add_norm(x, attention(w, layer, y, step), w.mlp_norm, eps);
  return add_norm(middle, mlp_output(config_, w, y_mlp), next, eps);
}

namespace {

/// What a layer computes with: all but its input norm, and the norm that comes after it.
std::vector<Tensor*> segment_tensors(LayerWeights& w, NormWeights& next) {
  std::vector<Tensor*> defined;
  const auto add = [&](Tensor* t) {
    if (t->defined() && t != &w.input_norm.weight && t != &w.input_norm.bias) defined.push_back(t);
  };
  for (Tensor* t : layer_tensors(w)) add(t);
  add(&next.weight);
  add(&next.bias);
  return defined;
}

}  // namespace

std::tuple<Tensor, Tensor> Decoder::run_checkpointed(int64_t layer, const Tensor& x,
                                                     const Tensor& y, const Step& step) const {
  LayerWeights weights = layers_[static_cast<size_t>(layer)];
  NormWeights next = norm_after(layer);
  std::vector<Tensor> inputs = {x, y};
  for (const Tensor* t : segment_tensors(weights, next)) inputs.push_back(*t);
  // The segment computes with the tensors it is handed, so that their gradients come out of it.
  const Segment segment = [this, layer, step, weights, next](const std::vector<Tensor>& in) {
    LayerWeights own = weights;
    NormWeights own_next = next;
    size_t at = 2;
    for (Tensor* t : segment_tensors(own, own_next)) *t = in[at++];
    const auto [out, y_out] = layer_with(own, own_next, layer, in[0], in[1], step);
    return std::vector<Tensor>{out, y_out};
  };
  const std::vector<Tensor> out = checkpointed(segment, inputs);
  return {out[0], out[1]};
}

Tensor Decoder::run(const Tensor& ids, const Step& step) const {
  Tensor x = embedded(config_, at::embedding(embedding_, ids));  // [batch, seq, hidden]
  Tensor y = norm(x, layers_.front().input_norm, config_.norm_eps);
  const bool recompute = checkpointing_ && c10::GradMode::is_enabled();
  for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
    std::tie(x, y) = recompute ? run_checkpointed(layer, x, y, step) : run_layer(layer, x, y, step);
    tell_layer_done(layer + 1);
  }
  return scaled(y, config_.multipliers.logits);
}

Tensor Decoder::hidden(const Tensor& ids, KvCache* cache) const {
  if (cache != nullptr && !cache->is_even()) return hidden_of_uneven(ids, *cache);
  const int64_t seq = ids.size(1);
  const int64_t past = cache == nullptr ? 0 : cache->length();
  const int64_t window = config_.sliding_window.value_or(0);
  Step step{.rope = rope_tables(past, seq),
            .cache = cache,
            .lengths = std::vector<int64_t>(static_cast<size_t>(ids.size(0)), past + seq),
            .whole = past == 0};
  // A single new token sees all of the past: no mask at all, unless a window cuts it.
  if (past > 0 && seq > 1) step.mask = visibility(seq, past, 0, device_);
  step.window_mask = past > 0 && window > 0 && past + seq > window
                         ? visibility(seq, past, window, device_)
                         : step.mask;
  const Tensor result = run(ids, step);
  if (cache != nullptr) cache->advance(seq);
  return result;
}

Tensor Decoder::hidden_of_uneven(const Tensor& ids, KvCache& cache) const {
  TORCH_CHECK(ids.size(1) == 1, "sequences of different lengths go on by one token at a time");
  const std::vector<int64_t>& past = cache.lengths();
  const Tensor positions = at::tensor(past, at::kLong).to(device_);
  Step step{.rope = rows_at(rope_tables(0, cache.length() + 1), positions),
            .cache = &cache,
            .lengths = past,
            .uneven = true};
  for (int64_t& length : step.lengths) ++length;
  const Tensor result = run(ids.transpose(0, 1), step);  // [1, sequences, hidden]
  cache.advance(1);
  return result.transpose(0, 1);
}

Tensor Decoder::hidden(const Tensor& ids, const TokenTree& tree) const {
  const TreeAttention attention(tree, config_, dtype_, device_);
  const Tensor positions = attention.positions();
  const int64_t longest = positions.max().item<int64_t>() + 1;
  return run(ids,
             {.rope = rows_at(rope_tables(0, longest), positions.to(device_)), .tree = &attention});
}

}  // namespace regroup
