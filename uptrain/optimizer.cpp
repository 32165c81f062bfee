#include "regroup/uptrain/optimizer.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "regroup/checkpoint/error.h"

namespace regroup {
namespace {

using at::Tensor;

/// Runs when autograd has finished one parameter's gradient.
struct GradientHook : torch::autograd::PostAccumulateGradHook {
  explicit GradientHook(Tensor into) : sum(std::move(into)) {}
  void operator()(const torch::autograd::Variable& parameter) override {
    const c10::NoGradGuard no_gradients;
    sum.add_(parameter.grad());  // in float32, whatever the parameter's dtype
    const_cast<torch::autograd::Variable&>(parameter).mutable_grad().reset();
  }
  Tensor sum;
};

}  // namespace

struct AdamW::Bucket {
  std::string name;
  double weight_decay;
  std::vector<Tensor> parameters;
  std::vector<Tensor> masters;  // views of `master`, one a parameter
  Tensor master;                // [elements] float32
  Tensor gradient;
  Tensor exp_avg;
  Tensor exp_avg_sq;

  Bucket(std::string bucket_name, double decay, std::vector<Tensor> leaves)
      : name(std::move(bucket_name)), weight_decay(decay), parameters(std::move(leaves)) {
    const c10::NoGradGuard no_gradients;
    int64_t elements = 0;
    for (const Tensor& p : parameters) elements += p.numel();
    master = at::zeros({elements}, parameters[0].options().dtype(at::kFloat).requires_grad(false));
    gradient = at::zeros_like(master);
    exp_avg = at::zeros_like(master);
    exp_avg_sq = at::zeros_like(master);
    int64_t offset = 0;
    for (Tensor& p : parameters) {
      const Tensor view = master.narrow(0, offset, p.numel()).view(p.sizes());
      view.copy_(p);
      masters.push_back(view);
      if (p.scalar_type() == at::kFloat) p.set_data(view);
      torch::autograd::impl::set_post_acc_grad_hooks(
          p, std::make_unique<GradientHook>(gradient.narrow(0, offset, p.numel()).view(p.sizes())));
      offset += p.numel();
    }
  }
  ~Bucket() {
    for (const Tensor& p : parameters) torch::autograd::impl::set_post_acc_grad_hooks(p, nullptr);
  }
  Bucket(const Bucket&) = delete;
  Bucket& operator=(const Bucket&) = delete;
};

AdamW::AdamW(std::vector<Tensor> parameters, const AdamWOptions& options) : options_(options) {
  std::vector<Tensor> matrices;
  std::vector<Tensor> vectors;
  for (Tensor& p : parameters) (p.dim() >= 2 ? matrices : vectors).push_back(p);
  updates_ = at::zeros({}, parameters.at(0).options().dtype(at::kFloat).requires_grad(false));
  if (!matrices.empty()) {
    buckets_.push_back(
        std::make_unique<Bucket>("decay", options.weight_decay, std::move(matrices)));
  }
  if (!vectors.empty()) {
    buckets_.push_back(std::make_unique<Bucket>("no_decay", 0.0, std::move(vectors)));
  }
}

AdamW::~AdamW() = default;

void AdamW::zero_gradients() {
  for (const auto& bucket : buckets_) bucket->gradient.zero_();
}

StepOutcome AdamW::step(double learning_rate) {
  const c10::NoGradGuard no_gradients;
  std::vector<Tensor> norms;
  for (const auto& bucket : buckets_) norms.push_back(at::linalg_vector_norm(bucket->gradient));
  StepOutcome outcome;
  outcome.grad_norm = at::linalg_vector_norm(at::stack(norms)).item<double>();
  outcome.applied = std::isfinite(outcome.grad_norm);
  if (!outcome.applied) return outcome;
  const double limit = options_.clip_grad_norm;
  const double excess = limit > 0 ? std::max(1.0, (outcome.grad_norm + 1e-6) / limit) : 1.0;
  // The fused operation divides the gradients by this, which saves a pass over them.
  const Tensor divisor = at::scalar_tensor(excess, updates_.options());
  updates_.add_(1);
  for (const auto& b : buckets_) {
    at::_fused_adamw_({b->master}, {b->gradient}, {b->exp_avg}, {b->exp_avg_sq}, {}, {updates_},
                      learning_rate, options_.beta1, options_.beta2, b->weight_decay, options_.eps,
                      /*amsgrad=*/false, /*maximize=*/false, divisor);
  }
  refresh_parameters();
  return outcome;
}

void AdamW::refresh_parameters() {
  const c10::NoGradGuard no_gradients;
  for (const auto& bucket : buckets_) {
    for (size_t i = 0; i < bucket->parameters.size(); ++i) {
      Tensor& p = bucket->parameters[i];
      if (p.scalar_type() != at::kFloat) p.copy_(bucket->masters[i]);
    }
  }
}

int64_t AdamW::n_elements() const {
  int64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket->master.numel();
  return total;
}

int64_t AdamW::state_bytes() const { return n_elements() * 16; }  // master, gradient, two moments

std::map<std::string, Tensor> AdamW::state() const {
  std::map<std::string, Tensor> all = {{"updates", updates_}};
  for (const auto& bucket : buckets_) {
    all[bucket->name + ".master"] = bucket->master;
    all[bucket->name + ".exp_avg"] = bucket->exp_avg;
    all[bucket->name + ".exp_avg_sq"] = bucket->exp_avg_sq;
  }
  return all;
}

void AdamW::load_state(const std::map<std::string, Tensor>& saved) {
  const c10::NoGradGuard no_gradients;
  for (auto& [name, tensor] : state()) {
    const auto it = saved.find(name);
    if (it == saved.end() || it->second.sizes() != tensor.sizes()) {
      throw CheckpointError(
          {.code = "CKPT_STATE",
           .message = fmt::format("the optimizer state must hold {} with {} values", name,
                                  tensor.numel())});
    }
    tensor.copy_(it->second);
  }
  refresh_parameters();
}

}  // namespace regroup
