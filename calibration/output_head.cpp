#include "output_head.h"

#include <ATen/ops/empty.h>

namespace regroup {
namespace {

/// Undefined where the model has none.
at::Tensor load(const ModelFolder& model, Role role, at::IntArrayRef shape, at::Device device) {
  const std::string name = tensor_name(model.config(), role);
  if (name.empty()) return {};
  const at::Tensor weight = at::empty(shape, at::TensorOptions(at::kFloat).device(device));
  load_weight(model, name, weight);
  return weight;
}

}  // namespace

OutputHead load_output_head(const ModelFolder& model, at::Device device) {
  const ModelConfig& config = model.config();
  OutputHead head;
  head.final_norm = {.weight = load(model, Role::kFinalNorm, {config.hidden_size}, device),
                     .bias = load(model, Role::kFinalNormBias, {config.hidden_size}, device),
                     .kind = config.family->block.norm};
  head.lm_head = {load(model, config.tie_word_embeddings ? Role::kEmbedding : Role::kLmHead,
                       {config.vocab_size, config.hidden_size}, device),
                  load(model, Role::kLmHeadBias, {config.vocab_size}, device), config.caps.logits};
  head.eps = config.norm_eps;
  head.logit_scale = config.multipliers.logits;
  return head;
}

}  // namespace regroup
