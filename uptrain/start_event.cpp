#include "start_event.h"

#include <nlohmann/json.hpp>

#include "regroup/checkpoint/manifest.h"

namespace regroup {
namespace {

/// How the model was converted; null unless its manifest tells.
Json conversion_facts(const std::string& model) {
  const std::optional<ConversionRecord> conversion = conversion_of(model);
  if (!conversion) return {};
  return {{"method", conversion->method},
          {"calibrated", conversion->calibrated},
          {"n_kv_heads",
           {{"before", conversion->kv_heads_before}, {"after", conversion->kv_heads_after}}}};
}

}  // namespace

Json start_facts(const RunSetup& setup) {
  const UptrainOptions& options = setup.options;
  const RunFacts& run = setup.facts;
  const bool teacher = !options.teacher.empty();
  const bool valid = setup.validation.has_value();
  const auto& val_loss = run.first_val_loss;
  return {{"model", options.model},
          {"conversion", options.init_from_scratch ? Json() : conversion_facts(options.model)},
          {"n_kv_heads", run.n_kv_heads},
          {"n_params", run.n_params},
          {"n_trainable", run.n_trainable},
          {"teacher", teacher ? Json(options.teacher) : Json()},
          {"kl_weight", teacher ? Json(run.mix.kl_weight) : Json()},
          {"temperature", teacher ? Json(run.mix.temperature) : Json()},
          {"tokens_per_step", run.tokens_per_step},
          {"steps", run.steps},
          {"lr", run.learning_rate},
          {"warmup", run.warmup_steps},
          {"rates_chosen", run.rates_chosen.empty() ? Json() : Json(run.rates_chosen)},
          {"seq_len", run.seq_len},
          {"flops_per_token", run.flops_per_token},
          {"valid", valid ? Json::parse(setup.state.settings).at("valid") : Json()},
          {"val_loss", val_loss ? Json(*val_loss) : Json()}};
}

}  // namespace regroup
