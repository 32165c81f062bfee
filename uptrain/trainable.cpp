#include "trainable.h"

namespace regroup {
namespace {

/// The whole tensors of `scope`, fused projections included.
std::vector<at::Tensor> tensors_of(Decoder& decoder, TrainScope scope) {
  if (scope == TrainScope::kAll) return decoder.parameters();
  std::vector<at::Tensor> chosen;
  for (int64_t i = 0; i < decoder.config().n_layers; ++i) {
    const LayerWeights& w = decoder.layer(i);
    std::vector<at::Tensor> of_layer = {w.qkv, w.qkv_bias, w.key_norm.weight};
    if (scope == TrainScope::kAttention) {
      of_layer.insert(of_layer.end(), {w.query_norm.weight, w.output, w.output_bias});
    }
    for (const at::Tensor& t : of_layer) {
      if (t.defined()) chosen.push_back(t);
    }
  }
  return chosen;
}

bool holds_kv(Decoder& decoder, const at::Tensor& t) {
  for (int64_t i = 0; i < decoder.config().n_layers; ++i) {
    if (t.is_same(decoder.layer(i).qkv) || t.is_same(decoder.layer(i).qkv_bias)) return true;
  }
  return false;
}

}  // namespace

std::vector<TrainedRows> choose_trainable(Decoder& decoder, TrainScope scope, double kv_lr_scale) {
  const int64_t n_query_rows = decoder.config().query_size();
  std::vector<at::Tensor> tensors = tensors_of(decoder, scope);
  std::vector<TrainedRows> chosen;
  for (at::Tensor& t : tensors) {
    t.set_requires_grad(true);
    const bool alike = scope != TrainScope::kKv && kv_lr_scale == 1.0;
    if (alike || !holds_kv(decoder, t)) {
      chosen.emplace_back(t);
      continue;
    }
    if (scope != TrainScope::kKv) chosen.emplace_back(t, 0, n_query_rows, 1.0);
    chosen.emplace_back(t, n_query_rows, t.size(0) - n_query_rows, kv_lr_scale);
  }
  return chosen;
}

}  // namespace regroup
