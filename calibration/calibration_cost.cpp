#include "calibration_cost.h"

#include <algorithm>

#include "gain_choice.h"
#include "layer_training.h"
#include "regroup/checkpoint/mlp_sizes.h"

namespace regroup {
namespace {

/// A token of one layer's attention.
double attention_flops(const ModelConfig& c, int64_t seq) {
  const int64_t weights = c.hidden_size * (2 * c.query_size() + 2 * c.kv_size());
  // Scores and mixing see half the window on average.
  return 2.0 * static_cast<double>(weights) + 2.0 * static_cast<double>(seq * c.query_size());
}

/// The same of its MLP, on the average of layers.
double mlp_flops(const ModelConfig& c) {
  return 2.0 * static_cast<double>(mlp_weights(c).of_token) / static_cast<double>(c.n_layers);
}

double times(int64_t tokens, double flops) { return static_cast<double>(tokens) * flops; }

}  // namespace

CalibrationCost::CalibrationCost(const ModelConfig& parent, const ConvertOptions& request,
                                 const CalibrationSizes& sizes)
    : before_(parent), after_(parent), options_(request.calibration), sizes_(sizes) {
  after_.n_kv_heads = request.n_kv_heads;
  const auto candidates = static_cast<int64_t>(gain_candidates(request).size());
  if (candidates > 1) tried_ = candidates;
}

double CalibrationCost::parent(int64_t tokens, int64_t seq) const {
  return times(tokens, attention_flops(before_, seq) + mlp_flops(before_));
}

double CalibrationCost::moment(int64_t tokens) const {
  return times(tokens, 2.0 * static_cast<double>(before_.hidden_size * before_.hidden_size));
}

double CalibrationCost::refit(int64_t tokens, int64_t seq) const {
  const auto q = static_cast<double>(before_.query_size());
  return times(tokens, attention_flops(after_, seq) + beside_flops() + 2 * q * q);
}

/// What stands beside attention: the MLP of a parallel block.
double CalibrationCost::beside_flops() const { return after_.parallel ? mlp_flops(after_) : 0; }

double CalibrationCost::refit() const {
  return over_sets([&](const WindowSizes& set) { return refit(set.tokens(), set.seq_len); });
}

double CalibrationCost::aim(int64_t tokens) const {
  return times(tokens, 2.0 * static_cast<double>(before_.query_size() * before_.hidden_size));
}

double CalibrationCost::aim() const {
  return over_sets([&](const WindowSizes& set) { return aim(set.tokens()); });
}

double CalibrationCost::look() const {
  return over_sets([&](const WindowSizes& set) {
    return times(set.held_out_tokens(), attention_flops(after_, set.seq_len) + beside_flops());
  });
}

double CalibrationCost::step(const WindowSizes& set) const {
  // Steps that follow a refit know what they are to reach; the others find it out.
  const double beside = options_.refit_output ? 0 : beside_flops();
  return times(set.step_tokens(), 3.0 * attention_flops(after_, set.seq_len) + beside);
}

double CalibrationCost::step() const {
  return over_sets([&](const WindowSizes& set) { return step(set); });
}

double CalibrationCost::converted(int64_t tokens, int64_t seq) const {
  return times(tokens, attention_flops(after_, seq) + mlp_flops(after_));
}

double CalibrationCost::tried_tokens() const {
  return static_cast<double>(tried_ * sizes_.text().held_out_tokens());
}

double CalibrationCost::trial() const {
  return tried_tokens() * converted(1, sizes_.text().seq_len);
}

double CalibrationCost::trial_losses() const { return tried_tokens() * head(); }

/// Logits of a token.
double CalibrationCost::head() const {
  return 2.0 * static_cast<double>(before_.vocab_size * before_.hidden_size);
}

double CalibrationCost::quality() const {
  if (!options_.measures_quality()) return 0;
  return options_.sequential ? held_out_logits() : look_at_network();
}

/// Of both models.
double CalibrationCost::held_out_logits() const {
  return over_sets(
      [&](const WindowSizes& set) { return times(set.held_out_tokens(), 2 * head()); });
}

/// One layer of the converted model over all that is held out.
double CalibrationCost::held_out_layer() const {
  return over_sets(
      [&](const WindowSizes& set) { return converted(set.held_out_tokens(), set.seq_len); });
}

double CalibrationCost::look_at_network() const {
  return static_cast<double>(before_.n_layers) * held_out_layer() + held_out_logits();
}

double CalibrationCost::distill_step() const {
  const WindowSizes& text = sizes_.text();
  // Backward: attention by its inputs and weights, MLP and output projection by their inputs alone. The
  // parent forward.
  const double layer = 3.0 * attention_flops(after_, text.seq_len) + 2.0 * mlp_flops(after_) +
                       attention_flops(before_, text.seq_len) + mlp_flops(before_);
  return times(distill_windows(text) * text.seq_len,
               static_cast<double>(before_.n_layers) * layer + 3.0 * head());
}

double CalibrationCost::distillation() const {
  const int64_t steps = options_.distill_steps.value_or(0);
  return static_cast<double>(steps) * distill_step() +
         static_cast<double>(distill_looks(steps)) * look_at_network();
}

/// Only what held-out windows are measured on comes out of it.
double CalibrationCost::last_layer() const {
  return options_.measures_quality() && options_.sequential ? held_out_layer() : 0;
}

double CalibrationCost::layer_forward(int64_t layer) const {
  double flops = trial() + over_sets([&](const WindowSizes& set) {
                   double one = parent(set.tokens(), set.seq_len);
                   if (set.text) one += moment(set.train_tokens());
                   if (!options_.sequential) return one;
                   const bool both = layer > 0 && !options_.save_statistics.empty();
                   if (set.text && both) one += moment(set.train_tokens());
                   if (layer + 1 < before_.n_layers) one += converted(set.tokens(), set.seq_len);
                   return one;
                 });
  if (!options_.refits()) return flops;
  int64_t looks = 1 + (sizes_.steps > 0 ? kLooksAtHeldOut : 0);
  if (options_.refit_output) {
    flops += refit();
    looks += 1;
  }
  if (options_.refit_output && sizes_.steps > 0) {
    flops += aim();
    looks += 2;
  }
  return flops + static_cast<double>(looks) * look();
}

double CalibrationCost::forward() const {
  double flops = trial_losses() + last_layer() + quality();
  for (int64_t layer = 0; layer < before_.n_layers; ++layer) flops += layer_forward(layer);
  return flops;
}

double CalibrationCost::training() const {
  return static_cast<double>(before_.n_layers * sizes_.steps) * step();
}

double CalibrationCost::seconds(const CalibrationRates& rates) const {
  return (forward() + distillation()) / rates.flops_per_s +
         static_cast<double>(before_.n_layers * sizes_.steps) * rates.step_s +
         static_cast<double>(before_.n_layers) * rates.layer_s;
}

int64_t distill_looks(int64_t steps) {
  constexpr int64_t kStepsALook = 13;
  constexpr int64_t kMax = 8;
  return steps == 0 ? 0 : std::clamp<int64_t>(steps / kStepsALook, 1, kMax);
}

double pretraining_flops(const ModelConfig& config) {
  const int64_t seq = std::min<int64_t>(longest_context(config), 4096);
  const double layers =
      static_cast<double>(config.n_layers) * (attention_flops(config, seq) + mlp_flops(config));
  const auto head = static_cast<double>(config.vocab_size * config.hidden_size);
  return 3.0 * (layers + 2.0 * head);
}

}  // namespace regroup
