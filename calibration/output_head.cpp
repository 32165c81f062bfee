#include "output_head.h"

#include <ATen/ops/empty.h>

namespace regroup {
namespace {

at::Tensor load(const ModelFolder& model, Role role, at::IntArrayRef shape, at::Device device) {
  const at::Tensor weight = at::empty(shape, at::TensorOptions(at::kFloat).device(device));
  load_weight(model, tensor_name(model.config(), role), weight);
  return weight;
}

}  // namespace

OutputHead load_output_head(const ModelFolder& model, at::Device device) {
  const ModelConfig& config = model.config();
  OutputHead head;
  head.final_norm.weight = load(model, Role::kFinalNorm, {config.hidden_size}, device);
  head.final_norm.offset = config.family->block.norm == Norm::kRmsOffset;
  if (config.family->block.norm == Norm::kLayer) {
    head.final_norm.bias = load(model, Role::kFinalNormBias, {config.hidden_size}, device);
  }
  head.lm_head = load(model, config.tie_word_embeddings ? Role::kEmbedding : Role::kLmHead,
                      {config.vocab_size, config.hidden_size}, device);
  head.eps = config.norm_eps;
  head.logit_scale = config.multipliers.logits;
  return head;
}

}  // namespace regroup
