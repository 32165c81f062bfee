#include "calibration_setup.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>

#include "calibration_budget.h"
#include "calibration_probe.h"
#include "calibration_text.h"
#include "text_windows.h"

namespace regroup {
namespace {

/// More tokens than the side of the largest matrix that is decomposed or inverted.
int64_t needed_tokens(const ModelConfig& config, const ConvertOptions& request) {
  const int64_t members = config.n_kv_heads / request.n_kv_heads;
  const int64_t group = request.method == Method::kPca ? members * config.head_dim : 0;
  return 2 * std::max(group, request.calibration.refit_output ? config.query_size() : 0);
}

/// @param available  whole windows of text, in tokens
void spread(const ModelConfig& config, const ConvertOptions& request, int64_t available,
            CalibrationSetup& setup) {
  const int64_t seq = setup.sizes.text().seq_len;
  const CalibrationBudget& budget = request.calibration.budget;
  const auto cost = [&](const CalibrationSpread& s) {
    ConvertOptions spent = request;
    spent.calibration = setup.options;
    spent.calibration.layer_steps = s.steps;
    spent.calibration.distill_steps = s.distill_steps;
    const CalibrationCost flops(config, spent,
                                calibration_sizes(config, spent.calibration, seq, s.tokens));
    return budget.seconds > 0 ? flops.seconds(setup.rates) : flops.total();
  };
  const int64_t needed = (std::max(needed_tokens(config, request), 2 * seq) + seq - 1) / seq * seq;
  const double limit = budget.seconds > 0
                           ? budget.seconds
                           : budget.share * static_cast<double>(budget.pretraining_tokens) *
                                 pretraining_flops(config);
  const CalibrationSpread s = spread_budget(setup.options, seq, available, needed, limit, cost);
  setup.options.tokens = s.tokens;
  setup.options.layer_steps = s.steps;
  setup.options.distill_steps = s.distill_steps;
  setup.options.budget.spread = true;
}

/// These windows of the text, int64 [windows, seq].
at::Tensor cut(const CalibrationText& text, const std::vector<int64_t>& windows, int64_t seq_len) {
  std::vector<int64_t> ids;
  for (const int64_t window : windows) {
    const auto first = text.ids.begin() + window * seq_len;
    ids.insert(ids.end(), first, first + seq_len);
  }
  return at::tensor(ids, at::kLong).view({-1, seq_len});
}

std::vector<int64_t> range(int64_t first, int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), first);
  return all;
}

/// Every window that a model writes is a text of its own: the first ones do. No more are written for training all
/// layers together.
TextWindows choose_windows(const CalibrationText& text, const CalibrationSetup& setup) {
  const WindowSizes& sizes = setup.sizes.text();
  if (setup.options.reads_own_text()) {
    return {.fitted = range(0, sizes.train_windows()),
            .held_out = range(sizes.train_windows(), sizes.held_out),
            .fresh = {}};
  }
  const int64_t fresh = *setup.options.distill_steps * distill_windows(sizes);
  return spread_windows(text.windows(sizes.seq_len), sizes.windows, sizes.held_out, fresh);
}

/// The windows of every set, and those of training all layers together.
void cut_windows(const CalibrationText& text, int64_t vocab_size, uint64_t seed,
                 CalibrationSetup& setup) {
  const TextWindows chosen = choose_windows(text, setup);
  const int64_t seq_len = setup.sizes.text().seq_len;
  setup.fresh = cut(text, chosen.fresh, seq_len);
  for (const WindowSizes& set : setup.sizes.sets) {
    setup.ids.push_back(
        set.text
            ? at::cat({cut(text, chosen.fitted, seq_len), cut(text, chosen.held_out, seq_len)})
            : at::tensor(first_tokens(vocab_size, set.windows, seed), at::kLong).view({-1, 1}));
  }
}

/// The text of a calibration of `tokens` and of training all layers together. @param options  with distill_steps
CalibrationText calibration_text(const ModelFolder& model, const ConvertOptions& request,
                                 const CalibrationOptions& options, int64_t tokens,
                                 at::Device device, const TextProgress& writes) {
  if (!options.reads_own_text()) {
    return read_calibration_text(model, options, tokens + distill_tokens(options));
  }
  const int64_t length = calibration_seq_len(model.config(), options, tokens);
  require_calibration_tokens(options, tokens, length, needed_tokens(model.config(), request));
  std::vector<int64_t> ids = own_text(model, length, tokens, request.seed, device, writes);
  const auto end = static_cast<int64_t>(ids.size());
  return {.ids = std::move(ids), .ends = {end}};
}

}  // namespace

CalibrationSetup set_up_calibration(const ModelFolder& model, const ConvertOptions& request,
                                    at::Device device, const TextProgress& writes) {
  const ModelConfig& config = model.config();
  CalibrationSetup setup{.ids = {}, .options = request.calibration, .sizes = {}, .rates = {}};
  setup.options.distill_steps = distill_steps(config, request.calibration);
  setup.options.layer_lr = request.calibration.layer_lr.value_or(default_layer_lr(config));
  setup.options.distill_lr = request.calibration.distill_lr.value_or(default_distill_lr(config));
  const int64_t max = max_calibration_tokens(request.calibration);
  CalibrationText text = calibration_text(model, request, setup.options, max, device, writes);
  const auto found = std::min(max, static_cast<int64_t>(text.ids.size()));
  const int64_t seq = calibration_seq_len(config, setup.options, found);
  require_calibration_tokens(setup.options, found, seq, needed_tokens(config, request));
  setup.options.seq_len = seq;
  setup.sizes = calibration_sizes(config, setup.options, seq, found / seq * seq);
  setup.rates = measure_rates(model, request, setup.sizes, device);
  if (setup.options.budget.is_open()) {
    spread(config, request, found / seq * seq, setup);
    setup.sizes = calibration_sizes(config, setup.options, seq, setup.options.tokens);
    // As the same numbers without a budget would read it.
    if (!request.calibration.reads_own_text()) {
      text = calibration_text(model, request, setup.options, setup.options.tokens, device, writes);
    }
  }
  setup.options.layer_batch = setup.sizes.text().step_windows;
  cut_windows(text, config.vocab_size, request.seed, setup);
  return setup;
}

CalibrationForecast forecast(const CalibrationSetup& setup, const CalibrationCost& cost,
                             int64_t n_layers) {
  const WindowSizes& text = setup.sizes.text();
  CalibrationForecast ahead{.windows = text.windows,
                            .held_out = text.held_out,
                            .seq_len = text.seq_len,
                            .steps = setup.sizes.steps,
                            .step_tokens = setup.sizes.step_tokens(),
                            .n_layers = n_layers,
                            .distill_steps = *setup.options.distill_steps,
                            .flops = cost.total(),
                            .seconds = cost.seconds(setup.rates)};
  for (const WindowSizes& set : setup.sizes.sets) {
    if (!set.text) ahead.first_tokens = set.windows;
  }
  return ahead;
}

}  // namespace regroup
