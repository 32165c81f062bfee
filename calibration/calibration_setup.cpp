#include "calibration_setup.h"

#include <ATen/ops/tensor.h>

#include <algorithm>

#include "calibration_budget.h"
#include "calibration_probe.h"
#include "calibration_text.h"

namespace regroup {
namespace {

/// More tokens than the side of the largest matrix that is decomposed or inverted.
int64_t needed_tokens(const ModelConfig& config, const TransformRequest& request) {
  const int64_t members = config.n_kv_heads / request.n_kv_heads;
  const int64_t group = request.method == Method::kPca ? members * config.head_dim : 0;
  return 2 * std::max(group, request.calibration.refit_output ? config.query_size() : 0);
}

/// @param available  whole windows of text, in tokens
void spread(const ModelConfig& config, const TransformRequest& request, int64_t available,
            CalibrationSetup& setup) {
  const int64_t seq = setup.sizes.seq_len;
  const CalibrationBudget& budget = request.calibration.budget;
  const auto cost = [&](const CalibrationSpread& s) {
    CalibrationOptions options = setup.options;
    options.layer_steps = s.steps;
    const CalibrationCost flops(config, request, calibration_sizes(options, seq, s.tokens));
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
  setup.options.budget.spread = true;
}

}  // namespace

CalibrationSetup set_up_calibration(const ModelFolder& model, const TransformRequest& request,
                                    at::Device device) {
  const ModelConfig& config = model.config();
  CalibrationSetup setup{.ids = {}, .options = request.calibration, .sizes = {}, .rates = {}};
  std::vector<int64_t> ids =
      calibration_ids(model, request.calibration, most_calibration_tokens(request.calibration));
  const auto found = static_cast<int64_t>(ids.size());
  const int64_t seq = calibration_seq_len(config, setup.options, found);
  require_calibration_tokens(setup.options, found, seq, needed_tokens(config, request));
  setup.options.seq_len = seq;
  setup.sizes = calibration_sizes(setup.options, seq, found / seq * seq);
  setup.rates = measure_rates(model, request, setup.sizes, device);
  if (setup.options.budget.is_open()) {
    spread(config, request, setup.sizes.tokens(), setup);
    setup.sizes = calibration_sizes(setup.options, seq, setup.options.tokens);
  }
  setup.options.layer_batch = setup.sizes.step_windows;
  ids.resize(static_cast<size_t>(setup.sizes.tokens()));
  setup.ids = at::tensor(ids, at::kLong).view({setup.sizes.windows, seq});
  return setup;
}

CalibrationForecast forecast(const CalibrationSetup& setup, const CalibrationCost& cost,
                             int64_t n_layers) {
  return {.windows = setup.sizes.windows,
          .held_out = setup.sizes.held_out,
          .seq_len = setup.sizes.seq_len,
          .steps = setup.sizes.steps,
          .step_tokens = setup.sizes.step_tokens(),
          .n_layers = n_layers,
          .flops = cost.total(),
          .seconds = cost.seconds(setup.rates)};
}

}  // namespace regroup
