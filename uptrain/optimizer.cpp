#include "optimizer.h"

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

#include "regroup/base/error.h"

namespace regroup {
namespace {

using at::Tensor;

/// Where the gradient of rows [first, first + count) goes.
struct GradientSink {
  int64_t first;
  int64_t count;
  Tensor sum;  // float32, shaped like the rows
};

/// Runs when autograd has finished one parameter's gradient. Rows that are not trained are dropped.
struct GradientHook : torch::autograd::PostAccumulateGradHook {
  void operator()(const torch::autograd::Variable& parameter) override {
    const c10::NoGradGuard no_gradients;
    // In float32, whatever the parameter's dtype.
    for (const GradientSink& sink : sinks)
      sink.sum.add_(parameter.grad().narrow(0, sink.first, sink.count));
    const_cast<torch::autograd::Variable&>(parameter).mutable_grad().reset();
  }
  std::vector<GradientSink> sinks;
};

std::string bucket_name(bool decays, double lr_scale) {
  const std::string name = decays ? "decay" : "no_decay";
  return lr_scale == 1.0 ? name : fmt::format("{}@{}", name, lr_scale);
}

}  // namespace

struct AdamW::Bucket {
  std::string name;
  double weight_decay;
  double lr_scale;
  std::vector<TrainedRows> trained;
  std::vector<Tensor> masters;    // views of `master`, shaped like the rows
  std::vector<Tensor> gradients;  // the same of `gradient`
  Tensor master;                  // [elements] float32
  Tensor gradient;
  Tensor exp_avg;
  Tensor exp_avg_sq;

  /// Allocates the buffers once `trained` is complete, and takes over the weights.
  void fill() {
    const c10::NoGradGuard no_gradients;
    int64_t elements = 0;
    for (const TrainedRows& t : trained) elements += t.rows_of(t.parameter).numel();
    const auto options = trained[0].parameter.options().dtype(at::kFloat).requires_grad(false);
    master = at::zeros({elements}, options);
    gradient = at::zeros_like(master);
    exp_avg = at::zeros_like(master);
    exp_avg_sq = at::zeros_like(master);
    int64_t offset = 0;
    for (TrainedRows& t : trained) {
      const Tensor rows = t.rows_of(t.parameter);
      masters.push_back(master.narrow(0, offset, rows.numel()).view(rows.sizes()));
      gradients.push_back(gradient.narrow(0, offset, rows.numel()).view(rows.sizes()));
      masters.back().copy_(rows);
      if (lives_in_master(t)) t.parameter.set_data(masters.back());
      offset += rows.numel();
    }
  }
  static bool lives_in_master(const TrainedRows& t) {
    return t.is_whole() && t.parameter.scalar_type() == at::kFloat;
  }
};

AdamW::AdamW(const std::vector<TrainedRows>& trained, const AdamWOptions& options)
    : options_(options) {
  updates_ =
      at::zeros({}, trained.at(0).parameter.options().dtype(at::kFloat).requires_grad(false));
  for (const TrainedRows& t : trained) bucket_of(t).trained.push_back(t);
  std::map<at::TensorImpl*, std::unique_ptr<GradientHook>> hooks;  // one a parameter
  for (const auto& bucket : buckets_) {
    bucket->fill();
    for (size_t i = 0; i < bucket->trained.size(); ++i) {
      const TrainedRows& t = bucket->trained[i];
      auto& hook = hooks[t.parameter.unsafeGetTensorImpl()];
      if (!hook) hook = std::make_unique<GradientHook>();
      hook->sinks.push_back({t.first, t.count, bucket->gradients[i]});
    }
  }
  for (const TrainedRows& t : trained) {
    auto hook = hooks.extract(t.parameter.unsafeGetTensorImpl());
    if (!hook.empty()) {
      torch::autograd::impl::set_post_acc_grad_hooks(t.parameter, std::move(hook.mapped()));
    }
  }
}

AdamW::Bucket& AdamW::bucket_of(const TrainedRows& t) {
  const bool decays = t.parameter.dim() >= 2;
  const std::string name = bucket_name(decays, t.lr_scale);
  for (const auto& bucket : buckets_) {
    if (bucket->name == name) return *bucket;
  }
  auto bucket = std::make_unique<Bucket>();
  bucket->name = name;
  bucket->weight_decay = decays ? options_.weight_decay : 0.0;
  bucket->lr_scale = t.lr_scale;
  buckets_.push_back(std::move(bucket));
  return *buckets_.back();
}

AdamW::~AdamW() {
  for (const auto& bucket : buckets_) {
    for (const TrainedRows& t : bucket->trained) {
      torch::autograd::impl::set_post_acc_grad_hooks(t.parameter, nullptr);
    }
  }
}

void AdamW::zero_gradients() {
  for (const auto& bucket : buckets_) bucket->gradient.zero_();
}

Tensor AdamW::gradient_norm() const {
  const c10::NoGradGuard no_gradients;
  std::vector<Tensor> norms;
  for (const auto& bucket : buckets_) norms.push_back(at::linalg_vector_norm(bucket->gradient));
  return at::linalg_vector_norm(at::stack(norms));
}

StepOutcome AdamW::step(double learning_rate) {
  return step(learning_rate, gradient_norm().item<double>());
}

StepOutcome AdamW::step(double learning_rate, double gradient_norm) {
  const c10::NoGradGuard no_gradients;
  const StepOutcome outcome{.grad_norm = gradient_norm, .applied = std::isfinite(gradient_norm)};
  if (!outcome.applied) return outcome;
  const double limit = options_.clip_grad_norm;
  const double excess = limit > 0 ? std::max(1.0, (outcome.grad_norm + 1e-6) / limit) : 1.0;
  // The fused operation divides the gradients by this, which saves a pass over them.
  const Tensor divisor = at::scalar_tensor(excess, updates_.options());
  updates_.add_(1);
  for (const auto& b : buckets_) {
    at::_fused_adamw_({b->master}, {b->gradient}, {b->exp_avg}, {b->exp_avg_sq}, {}, {updates_},
                      learning_rate * b->lr_scale, options_.beta1, options_.beta2, b->weight_decay,
                      options_.eps,
                      /*amsgrad=*/false, /*maximize=*/false, divisor);
  }
  refresh_parameters();
  return outcome;
}

void AdamW::refresh_parameters() {
  const c10::NoGradGuard no_gradients;
  for (const auto& bucket : buckets_) {
    for (size_t i = 0; i < bucket->trained.size(); ++i) {
      const TrainedRows& t = bucket->trained[i];
      if (!Bucket::lives_in_master(t)) t.rows_of(t.parameter).copy_(bucket->masters[i]);
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
