#include "layer_training.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "head_muon.h"
#include "regroup/base/stop_signal.h"
#include "regroup/model/transfer.h"
#include "window_order.h"

namespace regroup {
namespace {

using at::Tensor;

/// Looks in a row without progress that end the training.
constexpr int64_t kLooksInVain = 3;
/// Large first steps may lead away before they lead on, but not farther than to so many times the error:
/// then the steps are too large for this layer.
constexpr double kAstray = 2;
constexpr double kSmallerSteps = 0.25;

Tensor output_of(const ModelConfig& config, const LayerWeights& w, int64_t layer,
                 const Tensor& input, const RopeTables& rope) {
  return attention_output(config, w, attention_heads(config, w, layer, input, rope));
}

double schedule(int64_t step, const LayerTrainingOptions& options) {
  if (step < options.warmup) {
    return static_cast<double>(step + 1) / static_cast<double>(options.warmup + 1);
  }
  const auto left = static_cast<double>(options.steps - step);
  return left / static_cast<double>(std::max<int64_t>(1, options.steps - options.warmup));
}

/// Looks are spread evenly over the steps; the last is after the last step.
bool looks_after(int64_t step, const LayerTrainingOptions& options) {
  if (options.looks == 0) return false;
  return step * options.looks / options.steps != (step - 1) * options.looks / options.steps;
}

/// The training windows of every set in an order of their own.
std::vector<WindowOrder> window_orders(const std::vector<LayerWindows>& sets, uint64_t seed,
                                       int64_t layer) {
  std::vector<WindowOrder> orders;
  for (const LayerWindows& set : sets) {
    std::string name = "layer " + std::to_string(layer);
    if (!orders.empty()) name += ", set " + std::to_string(orders.size());
    orders.emplace_back(set.n_train, seed, name);
  }
  return orders;
}

/// The loss of one set's batch, a scalar: what share of what is wanted the layer leaves out.
Tensor batch_loss(const ModelConfig& config, const LayerWeights& w, int64_t layer,
                  const LayerWindows& set, const std::vector<int64_t>& windows) {
  const LayerBatch b = set.batch(windows);
  const Tensor gap = output_of(config, w, layer, b.input, *set.rope).sub(b.wanted);
  return gap.square().mul(b.weight).sum().div(b.wanted.square().mul(b.weight).sum().add(1e-30));
}

/// Of the sets' losses by their shares. Set after set, so that the activations of one are held at a time.
std::vector<Tensor> step_gradients(const ModelConfig& config, const LayerWeights& w, int64_t layer,
                                   const std::vector<LayerWindows>& sets,
                                   std::vector<WindowOrder>& orders,
                                   const std::vector<Tensor>& leaves) {
  std::vector<Tensor> sum;
  for (size_t s = 0; s < sets.size(); ++s) {
    const Tensor loss = batch_loss(config, w, layer, sets[s], orders[s].take(sets[s].step_windows));
    const std::vector<Tensor> gradients = torch::autograd::grad({loss.mul(sets[s].share)}, leaves);
    if (sum.empty()) {
      sum = gradients;
      continue;
    }
    const c10::NoGradGuard no_gradients;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = sum[i].add(gradients[i]);
  }
  return sum;
}

/// E w|s - y|^2 / E w|y|^2 over the held-out windows of each set.
std::vector<double> layer_errors(const ModelConfig& config, const LayerWeights& weights,
                                 int64_t layer, const std::vector<LayerWindows>& sets) {
  const c10::NoGradGuard no_gradients;
  std::vector<Tensor> scalars;  // of each set: what is lost, what there is
  for (const LayerWindows& set : sets) {
    const Tensor lost = at::zeros({}, set.rope->full.cos.options().dtype(at::kDouble));
    const Tensor total = at::zeros_like(lost);
    for (int64_t at = set.n_train; at < set.n; at += set.at_once) {
      std::vector<int64_t> windows(static_cast<size_t>(std::min(set.at_once, set.n - at)));
      std::iota(windows.begin(), windows.end(), at);
      const LayerBatch b = set.batch(windows);
      const Tensor gap = output_of(config, weights, layer, b.input, *set.rope).sub(b.wanted);
      lost.add_(gap.square().mul(b.weight).sum(at::kDouble));
      total.add_(b.wanted.square().mul(b.weight).sum(at::kDouble));
    }
    scalars.insert(scalars.end(), {lost, total});
  }
  const std::vector<double> sums = read_scalars(scalars);  // the one wait
  std::vector<double> errors;
  for (size_t i = 0; i < sums.size(); i += 2) {
    errors.push_back(sums[i + 1] > 0 ? sums[i] / sums[i + 1] : 0);
  }
  return errors;
}

}  // namespace

double layer_error(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                   const std::vector<LayerWindows>& sets) {
  const std::vector<double> errors = layer_errors(config, weights, layer, sets);
  double mixed = 0;
  for (size_t s = 0; s < sets.size(); ++s) mixed += sets[s].share * errors[s];
  return mixed;
}

LayerTrainingResult train_layer(const ModelConfig& config, LayerWeights& weights, int64_t layer,
                                const std::vector<LayerWindows>& sets, double held_out_before,
                                const LayerTrainingOptions& options) {
  LayerTrainingResult result{.held_out = held_out_before};
  HeadMuon muon(config, weights);
  std::vector<Tensor> best = muon.weights();
  std::vector<WindowOrder> orders = window_orders(sets, options.seed, layer);
  double learning_rate = options.learning_rate;
  double before = held_out_before;
  int64_t in_vain = 0;
  while (result.steps < options.steps) {
    throw_if_stopped(/*resumable=*/true);
    const std::vector<Tensor> gradients =
        step_gradients(config, weights, layer, sets, orders, muon.leaves());
    muon.step(gradients, learning_rate * schedule(result.steps, options));
    ++result.steps;
    if (options.stepped) options.stepped(result.steps);
    if (!looks_after(result.steps, options)) continue;
    ++result.looks;
    const double now = layer_error(config, weights, layer, sets);
    in_vain = now < before ? 0 : in_vain + 1;
    before = now;
    if (now < result.held_out) {
      result.held_out = now;
      best = muon.weights();
    } else if (in_vain == kLooksInVain) {
      break;
    } else if (!(now <= kAstray * result.held_out)) {  // NaN too
      muon.restore(best);
      learning_rate *= kSmallerSteps;
      before = result.held_out;
    }
  }
  if (options.looks > 0) muon.restore(best);
  detach_attention(weights);
  return result;
}

}  // namespace regroup
