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
      view = final_norm_.weight;
    } else if (role == Role::kFinalNormBias) {
      view = final_norm_.bias;
    } else if (role == Role::kLmHead) {
      view = lm_head_;
    } else if (role == Role::kLmHeadBias) {
      view = lm_head_bias_;
    } else {
      view = tensor_view(layers_[static_cast<size_t>(tensor.layer)], config_, tensor);
    }
    named.push_back(
        {tensor.name, view.detach(), role, tensor.layer, parts_of(*tensor.rule, config_)});
  }
  return named;
}

std::vector<Tensor> Decoder::parameters() const {
  std::vector<Tensor> all = {embedding_};
  const auto add = [&all](const Tensor& t) {
    if (t.defined()) all.push_back(t);
  };
  for (LayerWeights w : layers_) {
    for (const Tensor* t : layer_tensors(w)) add(*t);
  }
  add(final_norm_.weight);
  add(final_norm_.bias);
  add(lm_head_);
  add(lm_head_bias_);
  return all;
}

}  // namespace regroup
