#include "layer_fit.h"

#include <c10/core/GradMode.h>

#include <optional>

#include "output_refit.h"

namespace regroup {

using at::Tensor;

Tensor token_weights(const Tensor& target, const ModelConfig& config) {
  const bool centres = config.family->norm == Norm::kLayer;
  const Tensor seen = centres ? target.sub(target.mean(-1, /*keepdim=*/true)) : target;
  return seen.square().mean(-1, /*keepdim=*/true).add(config.norm_eps).reciprocal();
}

LayerFit::LayerFit(const ModelConfig& after, const std::vector<WindowSet>& sets,
                   const TransformRequest& request, const CalibrationCost& cost,
                   CalibrationMeter& meter)
    : after_(after),
      sets_(sets),
      options_(request.calibration),
      seed_(request.seed),
      cost_(cost),
      meter_(meter) {}

/// A layer's inputs, and what its attention should add: the parent's residual stream after attention
/// minus the converted one before it, so that errors from below are corrected here.
LayerBatch LayerFit::batch(const Tensor& x, const Tensor& target, const LayerWeights& w) const {
  return {norm(x, w.input_norm, after_.norm_eps), target.sub(x), token_weights(target, after_)};
}

std::vector<LayerWindows> LayerFit::windows(const LayerWeights& w) const {
  std::vector<LayerWindows> all;
  for (const WindowSet& set : sets_) {
    all.push_back({.n_train = set.sizes.train_windows(),
                   .n = set.sizes.windows,
                   .step_windows = set.sizes.step_windows,
                   .at_once = set.at_once,
                   .share = set.sizes.share,
                   .rope = &set.rope,
                   .batch = [this, &set, &w](const std::vector<int64_t>& windows) {
                     return batch(set.converted.gather(windows), set.parent.gather(windows), w);
                   }});
  }
  return all;
}

/// FLOPs that a layer which is finished already has no need of.
void LayerFit::spend(double flops, LayerReport& report) {
  report.fit_flops += flops;
  meter_.ran(flops);
}

void LayerFit::improve(int64_t layer, LayerWeights& w, LayerReport& report) {
  report.closed = held_out_error(layer, w, report);
  // What adds nothing, as a layer of block expansion, goes on adding nothing.
  if (!w.output.any().item<bool>()) return spare();
  if (options_.refit_output) {
    meter_.enter(layer, "least squares");
    refit(layer, w, report);
    report.refitted = held_out_error(layer, w, report);
  }
  if (options_.layer_steps > 0) train(layer, w, report);
}

void LayerFit::refit(int64_t layer, LayerWeights& w, LayerReport& report) {
  const auto sums = [&](const WindowSet& set, int64_t begin, int64_t end) {
    OutputRefit one(after_.query_size(), after_.hidden_size, w.output.device());
    set.for_chunks(begin, end, [&](int64_t first, int64_t count) {
      const Tensor x = set.converted.read(first, count);
      const Tensor before = set.before->read(first, count);
      const Tensor past = set.parent.read(first, count);
      const Tensor heads =
          attention_heads(after_, w, layer, norm(x, w.input_norm, after_.norm_eps), set.rope);
      one.add(heads, past.sub(before), before.sub(x), token_weights(past, after_), w.output_bias);
      spend(cost_.refit(count * set.sizes.seq_len, set.sizes.seq_len), report);
    });
    return one;
  };
  std::optional<OutputRefit> fitted;
  std::optional<OutputRefit> held_out;
  for (const WindowSet& set : sets_) {
    const double ratio = set.sizes.share / sets_.front().sizes.share;
    const int64_t train = set.sizes.train_windows();
    const auto add = [&](std::optional<OutputRefit>& all, OutputRefit one) {
      if (all) return all->join(one, ratio);
      all.emplace(std::move(one));
    };
    add(fitted, sums(set, 0, train));
    add(held_out, sums(set, train, set.sizes.windows));
  }
  w.output.copy_(fitted->solve(w.output, *held_out));
}

double LayerFit::held_out_error(int64_t layer, const LayerWeights& w, LayerReport& report) {
  spend(cost_.look(), report);
  return layer_error(after_, w, layer, windows(w));
}

void LayerFit::train(int64_t layer, LayerWeights& w, LayerReport& report) {
  meter_.enter(layer, "training");
  const c10::AutoGradMode gradients(true);
  const LayerTrainingOptions training{.steps = options_.layer_steps,
                                      .learning_rate = options_.layer_lr,
                                      .seed = seed_,
                                      .stepped = [&](int64_t) { meter_.stepped(); }};
  const LayerTrainingResult result =
      train_layer(after_, w, layer, windows(w), report.refitted.value_or(*report.closed), training);
  report.trained = result.held_out;
  report.steps = result.steps;
  const double looks = static_cast<double>(result.looks) * cost_.look();
  report.fit_flops += static_cast<double>(result.steps) * cost_.step() + looks;
  meter_.ran(looks);
  meter_.spare(static_cast<double>(kLooksAtHeldOut - result.looks) * cost_.look(),
               options_.layer_steps - result.steps);
}

/// The forecast counted a fit of this layer that is not made.
void LayerFit::spare() {
  const double refit = options_.refit_output ? cost_.refit() + cost_.look() : 0;
  const double looks =
      options_.layer_steps > 0 ? static_cast<double>(kLooksAtHeldOut) * cost_.look() : 0;
  meter_.spare(refit + looks, options_.layer_steps);
}

}  // namespace regroup
