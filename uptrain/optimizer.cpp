#include "optimizer.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "regroup/base/error.h"

namespace regroup {
namespace {

using at::Tensor;

/// What a checkpoint holds of a bucket.
constexpr std::array kBuffers = {".master", ".exp_avg", ".exp_avg_sq"};

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
  std::vector<int64_t> offsets;  // of the rows in the buffers
  int64_t elements = 0;
  int64_t share = 0;  // of each process; the last one's may end in zeros that are nothing's
  std::vector<Tensor> gradients;  // views of `gradient`, shaped like the rows
  Tensor gradient;                // [share processes] float32
  Tensor master;                  // likewise, or [share]: see is_sharded()
  Tensor gradient_share;          // this process's part of the two above, [share]
  Tensor master_share;
  Tensor exp_avg;  // [share]
  Tensor exp_avg_sq;

  /// Allocates the buffers once `trained` is complete, and takes over the weights.
  void fill(const Processes& processes) {
    const c10::NoGradGuard no_gradients;
    for (const TrainedRows& t : trained) {
      offsets.push_back(elements);
      elements += t.rows_of(t.parameter).numel();
    }
    share = (elements + processes.size() - 1) / processes.size();
    const auto options = trained[0].parameter.options().dtype(at::kFloat).requires_grad(false);
    gradient = at::zeros({share * processes.size()}, options);
    master = at::zeros_like(gradient);
    for (size_t i = 0; i < trained.size(); ++i) {
      gradients.push_back(rows_in(gradient, i));
      rows_in(master, i).copy_(trained[i].rows_of(trained[i].parameter));
      if (lives_in_master(trained[i])) trained[i].parameter.set_data(rows_in(master, i));
    }
    gradient_share = gradient.narrow(0, processes.rank() * share, share);
    master_share = master.narrow(0, processes.rank() * share, share);
    if (is_sharded(processes)) master = master_share = master_share.clone();
    exp_avg = at::zeros_like(master_share);
    exp_avg_sq = at::zeros_like(master_share);
  }
  /// Rows i of a whole buffer, shaped like them.
  Tensor rows_in(const Tensor& whole, size_t i) const {
    const Tensor rows = trained[i].rows_of(trained[i].parameter);
    return whole.narrow(0, offsets[i], rows.numel()).view(rows.sizes());
  }
  /// Each process has its share of the master weights alone. float32 ones are the parameters, or stand for rows of
  /// them: whole in every process.
  bool is_sharded(const Processes& processes) const {
    return !processes.alone() && trained[0].parameter.scalar_type() != at::kFloat;
  }
  /// In the order of kBuffers.
  std::array<Tensor, kBuffers.size()> shares() const { return {master_share, exp_avg, exp_avg_sq}; }
  static bool lives_in_master(const TrainedRows& t) {
    return t.is_whole() && t.parameter.scalar_type() == at::kFloat;
  }
};

AdamW::AdamW(const std::vector<TrainedRows>& trained, const AdamWOptions& options,
             Processes& processes)
    : options_(options), processes_(processes) {
  updates_ =
      at::zeros({}, trained.at(0).parameter.options().dtype(at::kFloat).requires_grad(false));
  for (const TrainedRows& t : trained) bucket_of(t).trained.push_back(t);
  std::map<at::TensorImpl*, std::unique_ptr<GradientHook>> hooks;  // one a parameter
  for (const auto& bucket : buckets_) {
    bucket->fill(processes_);
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

Tensor AdamW::norm_of_share() {
  const c10::NoGradGuard no_gradients;
  std::vector<Tensor> norms;
  for (const auto& bucket : buckets_) {
    processes_.reduce_scatter(bucket->gradient_share, bucket->gradient);
    norms.push_back(at::linalg_vector_norm(bucket->gradient_share));
  }
  return at::linalg_vector_norm(at::stack(norms));
}

StepOutcome AdamW::step(double learning_rate) {
  const Tensor norm = norm_of_share();
  if (processes_.alone()) return step(learning_rate, norm.item<double>());
  const Tensor square = norm.to(at::kDouble).square();
  processes_.all_reduce(square);
  return step(learning_rate, std::sqrt(square.item<double>()));
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
    at::_fused_adamw_({b->master_share}, {b->gradient_share}, {b->exp_avg}, {b->exp_avg_sq}, {},
                      {updates_}, learning_rate * b->lr_scale, options_.beta1, options_.beta2,
                      b->weight_decay, options_.eps,
                      /*amsgrad=*/false, /*maximize=*/false, divisor);
  }
  refresh_parameters();
  return outcome;
}

void AdamW::refresh_parameters() {
  const c10::NoGradGuard no_gradients;
  for (const auto& b : buckets_) {
    Tensor whole = b->master;
    if (b->is_sharded(processes_)) {
      const Tensor rounded = b->master_share.to(b->trained[0].parameter.scalar_type());
      whole = at::empty({b->share * processes_.size()}, rounded.options());
      processes_.all_gather(whole, rounded);
    } else if (!processes_.alone()) {
      processes_.all_gather(whole, b->master_share);
    }
    for (size_t i = 0; i < b->trained.size(); ++i) {
      const TrainedRows& t = b->trained[i];
      if (!Bucket::lives_in_master(t)) t.rows_of(t.parameter).copy_(b->rows_in(whole, i));
    }
  }
}

int64_t AdamW::n_elements() const {
  int64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket->elements;
  return total;
}

int64_t AdamW::state_bytes() const {
  int64_t total = 0;
  for (const auto& b : buckets_) {
    for (const Tensor& t : {b->master, b->gradient, b->exp_avg, b->exp_avg_sq}) {
      total += static_cast<int64_t>(t.nbytes());
    }
  }
  return total;
}

/// A buffer's shares of all processes as one, [elements], in the first process.
Tensor AdamW::gathered(const Bucket& bucket, const Tensor& share) const {
  if (processes_.alone()) return share;
  const Tensor part = at::empty_like(share);
  Tensor whole;
  if (processes_.is_first()) whole = at::empty({bucket.share * processes_.size()}, share.options());
  for (int rank = 0; rank < processes_.size(); ++rank) {
    if (rank == processes_.rank()) part.copy_(share);
    processes_.broadcast(part, rank);
    if (whole.defined()) whole.narrow(0, rank * bucket.share, bucket.share).copy_(part);
  }
  return whole.defined() ? whole.narrow(0, 0, bucket.elements) : whole;
}

/// The opposite: `saved` is there in the first process.
void AdamW::scatter(const Tensor& saved, const Bucket& bucket, const Tensor& share) {
  if (processes_.alone()) {
    share.copy_(saved);
    return;
  }
  const Tensor part = at::empty_like(share);
  for (int rank = 0; rank < processes_.size(); ++rank) {
    const int64_t first = std::min(rank * bucket.share, bucket.elements);
    const int64_t count = std::min(bucket.share, bucket.elements - first);
    if (processes_.is_first()) {
      part.zero_();
      part.narrow(0, 0, count).copy_(saved.narrow(0, first, count));
    }
    processes_.broadcast(part, 0);
    if (rank == processes_.rank()) share.copy_(part);
  }
}

std::map<std::string, Tensor> AdamW::state() const {
  std::map<std::string, Tensor> all = {{"updates", updates_}};
  for (const auto& b : buckets_) {
    const std::array<Tensor, kBuffers.size()> shares = b->shares();
    for (size_t i = 0; i < shares.size(); ++i) {
      const bool whole =
          i == 0 && !b->is_sharded(processes_);  // the master weights, in every process
      all[b->name + kBuffers[i]] =
          whole ? b->master.narrow(0, 0, b->elements) : gathered(*b, shares[i]);
    }
  }
  return all;
}

void AdamW::require_state(const std::map<std::string, Tensor>& saved) const {
  const auto require = [&](const std::string& name, int64_t elements) {
    const auto it = saved.find(name);
    if (it != saved.end() && it->second.numel() == elements) return;
    throw CheckpointError({.code = "CKPT_STATE",
                           .message = fmt::format("the optimizer state must hold {} with {} values",
                                                  name, elements)});
  };
  for (const auto& b : buckets_) {
    for (const char* buffer : kBuffers) require(b->name + buffer, b->elements);
  }
  require("updates", 1);
}

void AdamW::load_state(const std::map<std::string, Tensor>& saved) {
  const c10::NoGradGuard no_gradients;
  if (processes_.is_first()) require_state(saved);
  const auto of = [&](const std::string& name) {
    return processes_.is_first() ? saved.at(name) : Tensor();
  };
  for (const auto& b : buckets_) {
    const std::array<Tensor, kBuffers.size()> shares = b->shares();
    for (size_t i = 0; i < shares.size(); ++i) scatter(of(b->name + kBuffers[i]), *b, shares[i]);
  }
  if (processes_.is_first()) updates_.copy_(of("updates"));
  processes_.broadcast(updates_, 0);
  refresh_parameters();
}

}  // namespace regroup
