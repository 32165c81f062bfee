// The decoder's tensors under the names of the checkpoint.
#include "regroup/model/decoder.h"

namespace regroup {
using at::Tensor;

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
      view = layer_view(layers_[static_cast<size_t>(tensor.layer)], config_, role);
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
