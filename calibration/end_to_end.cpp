#include "end_to_end.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "regroup/base/stop_signal.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/model/fused_loss.h"
#include "regroup/model/transfer.h"

namespace regroup {

using at::Tensor;

EndToEnd::EndToEnd(Decoder& decoder, const Decoder& parent, const Tensor& windows,
                   const EndToEndOptions& options)
    : decoder_(decoder),
      parent_(parent),
      windows_(windows),
      options_(options),
      order_(windows.size(0), options.seed, "end to end") {
  for (int64_t layer = 0; layer < decoder.config().n_layers; ++layer) {
    layers_.emplace_back(decoder.config(), decoder.layer(layer));
    for (const Tensor& leaf : layers_.back().leaves()) leaves_.push_back(leaf);
  }
}

EndToEnd::~EndToEnd() {
  for (int64_t layer = 0; layer < decoder_.config().n_layers; ++layer) {
    detach_attention(decoder_.layer(layer));
  }
}

void EndToEnd::run_until(int64_t steps) {
  while (steps_ < steps) {
    apply(step_gradients(order_.take(options_.step_windows)));
    ++steps_;
    if (options_.stepped) options_.stepped(steps_);
  }
}

std::vector<std::vector<Tensor>> EndToEnd::weights() const {
  std::vector<std::vector<Tensor>> all;
  for (const HeadMuon& layer : layers_) all.push_back(layer.weights());
  return all;
}

void EndToEnd::restore(const std::vector<std::vector<Tensor>>& weights) {
  constexpr double kSmallerSteps = 0.25;
  for (size_t i = 0; i < layers_.size(); ++i) layers_[i].restore(weights[i]);
  smaller_ *= kSmallerSteps;
}

/// Up to its peak in a few steps, down to zero in the others.
double EndToEnd::learning_rate() const {
  const int64_t warmup = options_.warmup;
  const double share = steps_ < warmup
                           ? static_cast<double>(steps_ + 1) / static_cast<double>(warmup + 1)
                           : static_cast<double>(options_.steps - steps_) /
                                 static_cast<double>(options_.steps - warmup);
  return smaller_ * options_.learning_rate * share;
}

/// A few windows at a time.
std::vector<Tensor> EndToEnd::step_gradients(const std::vector<int64_t>& windows) const {
  const auto all = static_cast<int64_t>(windows.size());
  const int64_t at_once = std::max<int64_t>(1, kDistillTokensAtOnce / windows_.size(1));
  const double scale = 1.0 / static_cast<double>(all * (windows_.size(1) - 1));
  std::vector<Tensor> sum;
  for (int64_t at = 0; at < all; at += at_once) {
    throw_if_stopped(/*resumable=*/true);
    const std::vector<int64_t> part(windows.begin() + at,
                                    windows.begin() + std::min(all, at + at_once));
    std::vector<Tensor> gradients = torch::autograd::grad({loss(part, scale)}, leaves_);
    if (sum.empty()) {
      sum = std::move(gradients);
      continue;
    }
    const c10::NoGradGuard no_gradients;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = sum[i].add(gradients[i]);
  }
  return sum;
}

Tensor EndToEnd::loss(const std::vector<int64_t>& windows, double scale) const {
  const Tensor host = windows_.index_select(0, at::tensor(windows, at::kLong));
  const Tensor targets = at::full_like(host, -1);  // nothing follows the last token
  const int64_t predicted = host.size(1) - 1;
  targets.narrow(1, 0, predicted).copy_(host.narrow(1, 1, predicted));
  const Tensor ids = to_device(host, decoder_.device());
  const TeacherSignal parent{parent_.hidden(ids).flatten(0, 1), parent_.lm_head(), {}};
  const c10::AutoGradMode gradients(true);
  const Tensor hidden = decoder_.hidden(ids).flatten(0, 1);
  return fused_distillation(hidden, decoder_.lm_head(),
                            to_device(targets.flatten(), decoder_.device()), scale, parent,
                            DistillationMix{})
      .loss;
}

void EndToEnd::apply(const std::vector<Tensor>& gradients) {
  auto next = gradients.begin();
  const double rate = learning_rate();
  for (HeadMuon& layer : layers_) {
    const auto count = static_cast<std::ptrdiff_t>(layer.leaves().size());
    layer.step({next, next + count}, rate);
    next += count;
  }
}

}  // namespace regroup
