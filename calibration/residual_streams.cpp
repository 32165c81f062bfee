#include "residual_streams.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>

#include "calibrated_layer.h"
#include "layer_fit.h"
#include "regroup/base/error.h"
#include "regroup/model/ops.h"

namespace regroup {

using at::Tensor;

/// What is summed over the windows: moments and norms over those of the text that are worked on.
struct ResidualStreams::Sums {
  MomentAccumulator moments;
  Tensor norms;   // [n_heads] float64, or undefined
  Tensor finite;  // bool scalar, of all
  bool wants_moments = true;
};

ResidualStreams::ResidualStreams(const ModelFolder& model, const ModelConfig& after,
                                 const CalibrationOptions& options, const CalibrationCost& cost,
                                 std::vector<WindowSet>& sets, std::function<void(double)> spend)
    : model_(model),
      config_(model.config()),
      after_(after),
      options_(options),
      cost_(cost),
      sets_(sets),
      spend_(std::move(spend)) {}

void ResidualStreams::embed() {
  const Tensor table =
      at::empty({config_.vocab_size, config_.hidden_size}, at::TensorOptions(at::kFloat));
  load_weight(model_, tensor_name(config_, Role::kEmbedding), table);
  for (WindowSet& set : sets_) {
    set.for_chunks(0, set.sizes.windows, [&](int64_t first, int64_t count) {
      const Tensor x = embedded(config_, at::embedding(table, set.ids.narrow(0, first, count)));
      set.parent.write(first, x);
      set.converted.write(first, x);
    });
  }
}

void ResidualStreams::require_finite(const Tensor& finite, int64_t layer) const {
  if (finite.item<bool>()) return;
  throw CheckpointError({.code = "CALIBRATION_NONFINITE",
                         .message = fmt::format("activations must be finite, found NaN or "
                                                "infinity after the attention of layer {}",
                                                layer),
                         .path = model_.path(),
                         .hint = "check the model with `regroup eval` on the same text; where that "
                                 "is finite, give `calibration-first-tokens` 0"});
}

LayerStatistics ResidualStreams::through_parent_attention(int64_t layer, const LayerWeights& w,
                                                          const Wanted& wanted) {
  const auto wide = at::TensorOptions().dtype(at::kDouble).device(w.output.device());
  Sums sums{MomentAccumulator(config_.hidden_size),
            {},
            at::ones({}, wide.dtype(at::kBool)),
            wanted.moments};
  if (wanted.norms) sums.norms = at::zeros({config_.n_heads}, wide);
  for (WindowSet& set : sets_) through_parent_attention(layer, w, set, sums);
  require_finite(sums.finite, layer);
  LayerStatistics statistics;
  if (sums.wants_moments) statistics.moment = sums.moments.mean();
  if (sums.norms.defined()) {
    const auto tokens =
        static_cast<double>(std::max<int64_t>(1, sets_.front().sizes.train_tokens()));
    statistics.head_norm = sums.norms.cpu().div(tokens);
  }
  return statistics;
}

void ResidualStreams::through_parent_attention(int64_t layer, const LayerWeights& w, WindowSet& set,
                                               Sums& sums) {
  set.for_chunks(0, set.sizes.windows, [&](int64_t first, int64_t count) {
    spend_(cost_.parent(count * set.sizes.seq_len, set.sizes.seq_len));
    const Tensor x = set.parent.read(first, count);
    if (!options_.sequential) set.converted.write(first, x);  // what this layer is judged on
    const Tensor y = norm(x, w.input_norm, config_.norm_eps);
    const Tensor beside = beside_attention(config_, w, x, y);
    if (set.before) set.before->write(first, beside);
    const Tensor heads = attention_heads(config_, w, layer, y, set.rope);
    const Tensor after = beside.add(attention_output(config_, w, heads));
    sums.finite.logical_and_(after.isfinite().all());
    set.parent.write(first, after);
    const int64_t train = std::clamp<int64_t>(set.sizes.train_windows() - first, 0, count);
    if (train == 0 || !set.sizes.text) return;
    if (sums.wants_moments) {
      sums.moments.add(y.narrow(0, 0, train));
      spend_(cost_.moment(train * set.sizes.seq_len));
    }
    if (sums.norms.defined()) sums.norms.add_(head_norms(w, heads.narrow(0, 0, train)));
  });
}

/// Sum over tokens of |Wo_h o_h|, [n_heads].
Tensor ResidualStreams::head_norms(const LayerWeights& w, const Tensor& heads) const {
  const int64_t d = config_.head_dim;
  const Tensor rows = heads.reshape({-1, config_.n_heads, d}).transpose(0, 1);  // [H, tokens, d]
  const Tensor wo =
      w.output.unflatten(1, {config_.n_heads, d}).permute({1, 2, 0});  // [H, d, hidden]
  const Tensor metric = wo.matmul(wo.transpose(1, 2));                 // [H, d, d]
  return rows.matmul(metric).mul(rows).sum(2).clamp_min(0).sqrt().sum(1, false, at::kDouble);
}

Tensor ResidualStreams::converted_moment(const LayerWeights& w) {
  MomentAccumulator moments(config_.hidden_size);
  const WindowSet& text = sets_.front();
  text.for_chunks(0, text.sizes.train_windows(), [&](int64_t first, int64_t count) {
    moments.add(norm(text.converted.read(first, count), w.input_norm, config_.norm_eps));
    spend_(cost_.moment(count * text.sizes.seq_len));
  });
  return moments.mean();
}

void ResidualStreams::advance(int64_t layer, const LayerWeights& own, const LayerWeights& w) {
  if (layer + 1 == config_.n_layers) return advance_last(own, w);
  for (WindowSet& set : sets_) {
    advance_parent(w, set, 0);
    if (options_.sequential) advance_converted(layer, own, set, 0);
  }
}

/// What is read of the last layer: what held-out windows are measured on.
void ResidualStreams::advance_last(const LayerWeights& own, const LayerWeights& w) {
  if (!options_.measures_quality()) return;
  for (WindowSet& set : sets_) {
    const int64_t held_out = set.sizes.train_windows();
    advance_parent(w, set, held_out);
    if (options_.sequential) advance_converted(config_.n_layers - 1, own, set, held_out);
  }
}

void ResidualStreams::advance_parent(const LayerWeights& w, WindowSet& set, int64_t first_window) {
  if (config_.parallel) return;  // its MLP has been added with its attention
  set.for_chunks(first_window, set.sizes.windows, [&](int64_t first, int64_t count) {
    set.parent.write(first, after_attention(config_, w, set.parent.read(first, count)));
  });
}

void ResidualStreams::advance_converted(int64_t layer, const LayerWeights& own, WindowSet& set,
                                        int64_t first_window) {
  set.for_chunks(first_window, set.sizes.windows, [&](int64_t first, int64_t count) {
    const Tensor x = set.converted.read(first, count);
    set.converted.write(first, through_layer(after_, own, layer, x, set.rope));
    spend_(cost_.converted(count * set.sizes.seq_len, set.sizes.seq_len));
  });
}

}  // namespace regroup
