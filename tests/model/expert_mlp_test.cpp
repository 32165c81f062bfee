// A mixture of experts against its definition, expert by expert and in float64.
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "blocks/mlp.h"
#include "model/gradient_check.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

ModelConfig config_of(const TinyModelSpec& spec) {
  return parse_model_config(tiny_config(spec), "config.json");
}

// Logits 0, ln 2, ln 4, ln 1 of the first token: probabilities 1/8, 2/8, 4/8, 1/8.
TEST(Experts, AreThoseOfTheLargestProbabilities) {
  const Tensor router = at::tensor({0.0, std::log(2.0), std::log(4.0), 0.0, 1.0, 0.0, 0.0, 0.0})
                            .view({2, 4})
                            .t()
                            .contiguous();  // [4 experts, 2]
  const Tensor y = at::tensor({1.0, 0.0, 0.0, 3.0}).view({2, 2});
  Experts experts{.count = 4, .per_token = 2, .intermediate_size = 1};
  const Routes routes = chosen_experts(experts, y, router);
  EXPECT_EQ(routes.experts[0][0].item<int64_t>(), 2);
  EXPECT_EQ(routes.experts[0][1].item<int64_t>(), 1);
  EXPECT_NEAR(routes.weights[0][0].item<double>(), 0.5, 1e-12);
  EXPECT_NEAR(routes.weights[0][1].item<double>(), 0.25, 1e-12);
  EXPECT_EQ(routes.experts[1][0].item<int64_t>(), 0);
  EXPECT_NEAR(routes.weights[1][0].item<double>(), std::exp(3.0) / (std::exp(3.0) + 3), 1e-12);
  experts.sum_to_one = true;
  const Routes summed = chosen_experts(experts, y, router);
  EXPECT_NEAR(summed.weights[0][0].item<double>(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(summed.weights[0][1].item<double>(), 1.0 / 3, 1e-12);
}

Tensor glu(const Tensor& y, const Tensor& gate_up, const Tensor& down) {
  const auto parts = y.matmul(gate_up.t()).chunk(2, -1);
  return parts[0].mul(parts[0].sigmoid()).mul(parts[1]).matmul(down.t());
}

/// Every expert on every token, times its weight or 0.
Tensor by_definition(const Experts& experts, const Tensors& w) {
  const Tensor& y = w[0];  // [tokens, hidden]
  const Tensor probabilities = y.matmul(w[1].t()).softmax(-1);
  const Tensor bound = std::get<0>(probabilities.topk(experts.per_token, -1)).select(-1, -1);
  Tensor factors = probabilities.mul(probabilities.ge(bound.unsqueeze(-1)));
  if (experts.sum_to_one) factors = factors.div(factors.sum(-1, true));
  Tensor sum = at::zeros_like(y);
  for (int64_t e = 0; e < experts.count; ++e) {
    sum = sum.add(factors.select(1, e).unsqueeze(1).mul(glu(y, w[2][e], w[3][e])));
  }
  if (w.size() == 6) sum = sum.add(glu(y, w[4], w[5]));
  if (w.size() == 7) sum = sum.add(y.matmul(w[6].t()).sigmoid().mul(glu(y, w[4], w[5])));
  return sum;
}

void expect_definition(const TinyModelSpec& spec, int64_t tokens) {
  const ModelConfig config = config_of(spec);
  const Experts& experts = config.experts;
  const int64_t hidden = config.hidden_size;
  const int64_t width = experts.intermediate_size;
  const int64_t shared = experts.shared_intermediate_size;
  Tensors inputs = {random_tensor({tokens, hidden}, 1, at::kFloat),
                    random_tensor({experts.count, hidden}, 2, at::kFloat),
                    random_tensor({experts.count, 2 * width, hidden}, 3, at::kFloat),
                    random_tensor({experts.count, hidden, width}, 4, at::kFloat)};
  if (shared > 0) {
    inputs.push_back(random_tensor({2 * shared, hidden}, 5, at::kFloat));
    inputs.push_back(random_tensor({hidden, shared}, 6, at::kFloat));
  }
  if (experts.shared_is_gated) {
    inputs.push_back(random_tensor({1, hidden}, 7, at::kFloat));
  }
  const auto own = [&](const Tensors& in) -> Tensors {
    LayerWeights weights;
    weights.router = in[1];
    weights.expert_gate_up = in[2];
    weights.expert_down = in[3];
    if (shared > 0) {
      weights.shared_gate_up = in[4];
      weights.shared_down = in[5];
      if (experts.shared_is_gated) weights.shared_router = in[6];
    }
    return {experts_output(config, weights, in[0].unsqueeze(0)).squeeze(0)};
  };
  const auto reference = [&](const Tensors& in) -> Tensors { return {by_definition(experts, in)}; };
  compare(spec.model_type.c_str(), own, reference, inputs);
}

// One token leaves most experts without any, whose gradients are zero; 200 leave none.
TEST(Experts, AreTheirDefinition) {
  for (const int64_t tokens : {1, 5, 200}) {
    expect_definition({.model_type = "mixtral"}, tokens);
    expect_definition({.model_type = "olmoe"}, tokens);
    expect_definition({.model_type = "qwen2_moe"}, tokens);
    expect_definition({.model_type = "deepseek"}, tokens);
  }
}

TEST(Experts, OfATokenDoNotDependOnOtherTokens) {
  const TemporaryFolder folder;
  write_tiny_model(folder / "model", {.model_type = "qwen2_moe"});
  const Decoder decoder = load_folder(folder / "model");
  const Tensor ids = random_ids(3, 9, 64, 5);
  const Tensor together = all_logits(decoder, ids);
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_LE(
        relative_error(all_logits(decoder, ids.narrow(0, row, 1)), together.narrow(0, row, 1)),
        1e-6);
  }
}

}  // namespace
}  // namespace regroup::testing
