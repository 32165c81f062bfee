#include "mlp.h"

#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <vector>

namespace regroup {
namespace {

using at::Tensor;

/// [..., width] of gate_up, [..., 2 width] or without a gate [..., width].
Tensor mlp_channels(const Tensor& gate_up, const ModelConfig& config) {
  if (!config.family->block.gated) return activated(gate_up, config.activation);
  if (config.activation == Activation::kSilu) return swiglu(gate_up);
  const auto parts = gate_up.chunk(2, -1);
  return activated(parts[0], config.activation).mul(parts[1]);
}

/// A matrix of each expert, of [experts, rows, columns].
class ExpertMatrices {
 public:
  // While gradients are kept, one node of the graph for all: that of select() would be as large as all, for each.
  explicit ExpertMatrices(const Tensor& all) : all_(all) {
    if (c10::GradMode::is_enabled()) parts_ = all.unbind(0);
  }
  Tensor of(int64_t expert) const {
    return parts_.empty() ? all_.select(0, expert) : parts_[static_cast<size_t>(expert)];
  }

 private:
  const Tensor& all_;
  std::vector<Tensor> parts_;
};

/// Each run of rows through its expert.
/// @param rows    [tokens * per_token, hidden], expert by expert
/// @param counts  rows of each expert
Tensor through_experts(const ModelConfig& config, const LayerWeights& weights, const Tensor& rows,
                       const Tensor& counts) {
  const ExpertMatrices gate_up(weights.expert_gate_up);
  const ExpertMatrices down(weights.expert_down);
  const auto* count = counts.const_data_ptr<int64_t>();
  std::vector<Tensor> outputs;
  int64_t first = 0;
  for (int64_t expert = 0; expert < config.experts.count; ++expert) {
    if (count[expert] == 0) continue;
    outputs.push_back(one_mlp(config, rows.narrow(0, first, count[expert]),
                              {.gate_up = gate_up.of(expert),
                               .gate_up_bias = {},
                               .down = down.of(expert),
                               .down_bias = {}}));
    first += count[expert];
  }
  return outputs.empty() ? rows : at::cat(outputs);
}

Tensor shared_output(const ModelConfig& config, const LayerWeights& weights, const Tensor& y) {
  const Tensor out = one_mlp(config, y,
                             {.gate_up = weights.shared_gate_up,
                              .gate_up_bias = {},
                              .down = weights.shared_down,
                              .down_bias = {}});
  if (!weights.shared_router.defined()) return out;
  return project(y, weights.shared_router).sigmoid().mul(out);
}

}  // namespace

Tensor one_mlp(const ModelConfig& config, const Tensor& y, const MlpMatrices& matrices) {
  const Tensor gate_up = project(y, matrices.gate_up, matrices.gate_up_bias);
  return project(mlp_channels(gate_up, config), matrices.down, matrices.down_bias);
}

Routes chosen_experts(const Experts& experts, const Tensor& y, const Tensor& router) {
  const Tensor logits = project(y, router);
  const bool wide = logits.scalar_type() == at::kDouble;
  const Tensor probabilities = logits.softmax(-1, wide ? at::kDouble : at::kFloat);
  auto [weights, chosen] = probabilities.topk(experts.per_token, -1);
  if (experts.sum_to_one) weights = weights.div(weights.sum(-1, /*keepdim=*/true));
  return {.experts = chosen, .weights = weights};
}

Tensor experts_output(const ModelConfig& config, const LayerWeights& weights, const Tensor& y) {
  const Experts& experts = config.experts;
  const Tensor tokens = y.reshape({-1, config.hidden_size});
  const Routes routes = chosen_experts(experts, tokens, weights.router);
  const Tensor chosen = routes.experts.flatten();
  const Tensor order = chosen.argsort(/*stable=*/true, /*dim=*/-1, /*descending=*/false);
  const Tensor rows = order.div(experts.per_token, "floor");  // the token of each
  const Tensor counts = at::bincount(chosen, {}, experts.count).cpu();
  const Tensor outputs = through_experts(config, weights, tokens.index_select(0, rows), counts);
  const Tensor factors = routes.weights.flatten().index_select(0, order).to(y.scalar_type());
  Tensor sum = at::zeros_like(tokens).index_add(0, rows, outputs.mul(factors.unsqueeze(1)));
  if (weights.shared_gate_up.defined()) sum = sum.add(shared_output(config, weights, tokens));
  return sum.view(y.sizes());
}

}  // namespace regroup
