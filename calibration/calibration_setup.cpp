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
  const int64_t seq = setup.sizes.text().seq_len;
  const CalibrationBudget& budget = request.calibration.budget;
  const auto cost = [&](const CalibrationSpread& s) {
    TransformRequest spent = request;
    spent.calibration = setup.options;
    spent.calibration.layer_steps = s.steps;
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
  setup.options.budget.spread = true;
}

/// The windows of every set.
std::vector<at::Tensor> cut(const std::vector<int64_t>& text, const CalibrationSizes& sizes,
                            int64_t vocab_size, uint64_t seed) {
  const at::Tensor all = at::tensor(text, at::kLong);  // may be more than is used
  std::vector<at::Tensor> windows;
  for (const WindowSizes& set : sizes.sets) {
    const at::Tensor ids = set.text
                               ? all.narrow(0, 0, set.tokens())
                               : at::tensor(first_tokens(vocab_size, set.windows, seed), at::kLong);
    windows.push_back(ids.view({set.windows, set.seq_len}));
  }
  return windows;
}

/// Windows of text behind those of the sets, as many as are trained on.
at::Tensor rest(const std::vector<int64_t>& text, const CalibrationSizes& sizes,
                int64_t distill_steps) {
  const WindowSizes& used = sizes.text();
  const int64_t left = (static_cast<int64_t>(text.size()) - used.tokens()) / used.seq_len;
  const int64_t windows = std::min(left, distill_steps * used.step_windows);
  return at::tensor(text, at::kLong)
      .narrow(0, used.tokens(), windows * used.seq_len)
      .view({windows, used.seq_len});
}

}  // namespace

CalibrationSetup set_up_calibration(const ModelFolder& model, const TransformRequest& request,
                                    at::Device device, const TextProgress& writes) {
  const ModelConfig& config = model.config();
  CalibrationSetup setup{.ids = {}, .options = request.calibration, .sizes = {}, .rates = {}};
  const int64_t most = most_calibration_tokens(request.calibration);
  const int64_t read = most + distill_tokens(request.calibration);
  const auto text = [&] {
    if (!request.calibration.reads_own_text()) return calibration_ids(model, setup.options, read);
    const int64_t length = calibration_seq_len(config, setup.options, most);
    require_calibration_tokens(setup.options, most, length, needed_tokens(config, request));
    return own_text(model, length, read, request.seed, device, writes);
  };
  const std::vector<int64_t> ids = text();
  const auto found = std::min(most, static_cast<int64_t>(ids.size()));
  const int64_t seq = calibration_seq_len(config, setup.options, found);
  require_calibration_tokens(setup.options, found, seq, needed_tokens(config, request));
  setup.options.seq_len = seq;
  setup.sizes = calibration_sizes(config, setup.options, seq, found / seq * seq);
  setup.rates = measure_rates(model, request, setup.sizes, device);
  if (setup.options.budget.is_open()) {
    spread(config, request, found / seq * seq, setup);
    setup.sizes = calibration_sizes(config, setup.options, seq, setup.options.tokens);
  }
  setup.options.layer_batch = setup.sizes.text().step_windows;
  setup.ids = cut(ids, setup.sizes, config.vocab_size, request.seed);
  setup.fresh = rest(ids, setup.sizes, setup.options.distill_steps);
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
                            .distill_steps = setup.options.distill_steps,
                            .flops = cost.total(),
                            .seconds = cost.seconds(setup.rates)};
  for (const WindowSizes& set : setup.sizes.sets) {
    if (!set.text) ahead.first_tokens = set.windows;
  }
  return ahead;
}

}  // namespace regroup
