#include "start_event.h"

#include <nlohmann/json.hpp>

#include "regroup/checkpoint/manifest.h"

namespace regroup {
namespace {

/// How the model was converted; nothing unless its manifest tells.
std::optional<StartConversion> start_conversion(const std::string& model) {
  const std::optional<ConversionRecord> conversion = conversion_of(model);
  if (!conversion) return std::nullopt;
  return StartConversion{.method = conversion->method,
                         .calibrated = conversion->calibrated,
                         .kv_heads_before = conversion->kv_heads_before,
                         .kv_heads_after = conversion->kv_heads_after};
}

}  // namespace

TrainingStart training_start(const RunSetup& setup) {
  const UptrainOptions& options = setup.options;
  const RunFacts& run = setup.facts;
  TrainingStart start{.model = options.model,
                      .n_kv_heads = run.n_kv_heads,
                      .n_params = run.n_params,
                      .n_trainable = run.n_trainable,
                      .teacher = options.teacher,
                      .tokens_per_step = run.tokens_per_step,
                      .steps = run.steps,
                      .learning_rate = run.learning_rate,
                      .warmup_steps = run.warmup_steps,
                      .rates_chosen = run.rates_chosen,
                      .seq_len = run.seq_len,
                      .flops_per_token = run.flops_per_token,
                      .val_loss = run.first_val_loss};
  if (!options.init_from_scratch) start.conversion = start_conversion(options.model);
  if (!options.teacher.empty()) {
    start.kl_weight = run.mix.kl_weight;
    start.temperature = run.mix.temperature;
  }
  if (setup.validation.has_value()) {
    start.valid = Json::parse(setup.state.settings).at("valid").get<std::string>();
  }
  return start;
}

}  // namespace regroup
