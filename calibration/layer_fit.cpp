#include "layer_fit.h"

#include <ATen/ops/linear.h>
#include <c10/core/GradMode.h>

#include <optional>

namespace regroup {

using at::Tensor;

Tensor token_weights(const Tensor& target, const ModelConfig& config) {
  const Tensor seen =
      centres(config.family->block.norm) ? target.sub(target.mean(-1, /*keepdim=*/true)) : target;
  return seen.square().mean(-1, /*keepdim=*/true).add(config.norm_eps).reciprocal();
}

LayerFit::LayerFit(const ModelConfig& after, std::vector<WindowSet>& sets,
                   const ConvertOptions& request, const CalibrationCost& cost,
                   CalibrationMeter& meter)
    : after_(after),
      sets_(sets),
      options_(request.calibration),
      seed_(request.seed),
      cost_(cost),
      meter_(meter) {}

/// A layer's inputs, and what its attention should add: the parent's residual stream after attention
/// minus the converted one beside it, so that errors from below are corrected here.
LayerBatch LayerFit::batch(const Tensor& x, const Tensor& target, const LayerWeights& w) const {
  const c10::NoGradGuard no_gradients;
  const Tensor y = norm(x, w.input_norm, after_.norm_eps);
  return {y, target.sub(beside_attention(after_, w, x, y)), token_weights(target, after_)};
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

/// The same with what aim() left to be wanted.
std::vector<LayerWindows> LayerFit::aimed_windows(const LayerWeights& w) const {
  std::vector<LayerWindows> all = windows(w);
  for (size_t s = 0; s < all.size(); ++s) {
    all[s].batch = [this, &set = sets_[s], &w](const std::vector<int64_t>& windows) {
      return LayerBatch{norm(set.converted.gather(windows), w.input_norm, after_.norm_eps),
                        set.before->gather(windows),
                        token_weights(set.parent.gather(windows), after_)};
    };
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
  if (!options_.refit_output) {
    if (options_.layer_steps > 0) train(layer, w, windows(w), *report.closed, report);
    return;
  }
  meter_.enter(layer, "least squares");
  const OutputChange change = refit(layer, w, report);
  report.refitted = held_out_error(layer, w, report);
  if (options_.layer_steps == 0) return;
  aim(change.carried, report);
  const std::vector<LayerWindows> aimed = aimed_windows(w);
  spend(cost_.look(), report);
  train(layer, w, aimed, layer_error(after_, w, layer, aimed), report);
  report.trained = held_out_error(layer, w, report);
}

/// Puts in place of the parent's stream before attention what training is to reach: what the parent's attention
/// adds, and of what the layers below left out the part that the refit found in the heads. The rest of that is
/// noise to this layer, which steps would learn by heart.
void LayerFit::aim(const Tensor& carried, LayerReport& report) {
  const double factor = after_.multipliers.residual;
  const Tensor found = carried.to(sets_.front().rope.full.cos.device(), at::kFloat);
  for (WindowSet& set : sets_) {
    set.for_chunks(0, set.sizes.windows, [&](int64_t first, int64_t count) {
      const Tensor own = set.parent.read(first, count).sub(set.before->read(first, count));
      const Tensor carried_on = scaled(at::linear(set.heads->read(first, count), found), factor);
      set.before->write(first, own.add(carried_on));
      spend(cost_.aim(count * set.sizes.seq_len), report);
    });
  }
}

OutputChange LayerFit::refit(int64_t layer, LayerWeights& w, LayerReport& report) {
  const auto sums = [&](WindowSet& set, int64_t begin, int64_t end) {
    OutputRefit one(after_.query_size(), after_.hidden_size, w.output.device());
    set.for_chunks(begin, end, [&](int64_t first, int64_t count) {
      const Tensor x = set.converted.read(first, count);
      const Tensor before = set.before->read(first, count);
      const Tensor past = set.parent.read(first, count);
      const Tensor y = norm(x, w.input_norm, after_.norm_eps);
      const Tensor beside = beside_attention(after_, w, x, y);
      const Tensor heads = attention_heads(after_, w, layer, y, set.rope);
      // In terms of Wo, whose output the model may multiply.
      const double part = 1 / after_.multipliers.residual;
      one.add(heads, scaled(past.sub(before), part), scaled(before.sub(beside), part),
              token_weights(past, after_), w.output_bias);
      if (set.heads) set.heads->write(first, heads);
      spend(cost_.refit(count * set.sizes.seq_len, set.sizes.seq_len), report);
    });
    return one;
  };
  std::optional<OutputRefit> fitted;
  std::optional<OutputRefit> held_out;
  for (WindowSet& set : sets_) {
    const double ratio = set.sizes.share / sets_.front().sizes.share;
    const int64_t train = set.sizes.train_windows();
    const auto add = [&](std::optional<OutputRefit>& all, OutputRefit one) {
      if (all) return all->join(one, ratio);
      all.emplace(std::move(one));
    };
    add(fitted, sums(set, 0, train));
    add(held_out, sums(set, train, set.sizes.windows));
  }
  OutputChange change = fitted->solve(w.output, *held_out);
  w.output.copy_(change.added_to(w.output));
  return change;
}

double LayerFit::held_out_error(int64_t layer, const LayerWeights& w, LayerReport& report) {
  spend(cost_.look(), report);
  return layer_error(after_, w, layer, windows(w));
}

void LayerFit::train(int64_t layer, LayerWeights& w, const std::vector<LayerWindows>& windows,
                     double before, LayerReport& report) {
  meter_.enter(layer, "training");
  const c10::AutoGradMode gradients(true);
  const LayerTrainingOptions training{.steps = options_.layer_steps,
                                      .learning_rate = options_.layer_lr.value(),
                                      .seed = seed_,
                                      .stepped = [&](int64_t) { meter_.stepped(); }};
  const LayerTrainingResult result = train_layer(after_, w, layer, windows, before, training);
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
  const bool trains = options_.layer_steps > 0;
  double flops = trains ? static_cast<double>(kLooksAtHeldOut) * cost_.look() : 0;
  if (options_.refit_output) flops += cost_.refit() + cost_.look();
  if (options_.refit_output && trains) flops += cost_.aim() + 2 * cost_.look();
  meter_.spare(flops, options_.layer_steps);
}

}  // namespace regroup
