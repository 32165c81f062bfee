// The decoder's tensors under the names of the checkpoint.
#include "regroup/checkpoint/error.h"
#include "regroup/model/decoder.h"

namespace regroup {
namespace {

using at::Tensor;

/// Where a role's rows lie in a fused tensor.
struct Slice {
  Tensor tensor;
  int64_t first = 0;
  int64_t count = 0;
};

Slice slice_of(const LayerWeights& w, const ModelConfig& c, Role role) {
  const int64_t q = c.query_size();
  const int64_t kv = c.kv_size();
  const int64_t f = c.intermediate_size;
  const auto whole = [](const Tensor& t) { return Slice{t, 0, t.size(0)}; };
  switch (role) {
    case Role::kInputNorm:
      return whole(w.input_norm);
    case Role::kQuery:
      return {w.qkv, 0, q};
    case Role::kKey:
      return {w.qkv, q, kv};
    case Role::kValue:
      return {w.qkv, q + kv, kv};
    case Role::kOutput:
      return whole(w.output);
    case Role::kQueryBias:
      return {w.qkv_bias, 0, q};
    case Role::kKeyBias:
      return {w.qkv_bias, q, kv};
    case Role::kValueBias:
      return {w.qkv_bias, q + kv, kv};
    case Role::kOutputBias:
      return whole(w.output_bias);
    case Role::kMlpNorm:
      return whole(w.mlp_norm);
    case Role::kGate:
      return {w.gate_up, 0, f};
    case Role::kUp:
      return {w.gate_up, f, f};
    case Role::kDown:
      return whole(w.down);
    case Role::kGateBias:
      return {w.gate_up_bias, 0, f};
    case Role::kUpBias:
      return {w.gate_up_bias, f, f};
    case Role::kDownBias:
      return whole(w.down_bias);
    default:
      return {};
  }
}

}  // namespace

std::vector<NamedWeight> Decoder::named_weights() const {
  std::vector<NamedWeight> named;
  for (const ExpectedTensor& tensor : expected_tensors(config_)) {
    const Role role = tensor.rule->role;
    Tensor view;
    if (role == Role::kEmbedding) {
      view = embedding_;
    } else if (role == Role::kFinalNorm) {
      view = final_norm_;
    } else if (role == Role::kLmHead) {
      view = lm_head_;
    } else {
      const Slice slice = slice_of(layers_[static_cast<size_t>(tensor.layer)], config_, role);
      // detach: a view for copying in and out, not a part of a graph.
      view = slice.tensor.detach().narrow(0, slice.first, slice.count);
    }
    named.push_back({tensor.name, view.detach(), role, tensor.layer});
  }
  return named;
}

std::vector<Tensor> Decoder::parameters() const {
  std::vector<Tensor> all = {embedding_};
  for (const LayerWeights& w : layers_) {
    for (const Tensor& t : {w.input_norm, w.qkv, w.qkv_bias, w.output, w.output_bias, w.mlp_norm,
                            w.gate_up, w.gate_up_bias, w.down, w.down_bias}) {
      if (t.defined()) all.push_back(t);
    }
  }
  all.push_back(final_norm_);
  if (lm_head_.defined()) all.push_back(lm_head_);
  return all;
}

}  // namespace regroup
