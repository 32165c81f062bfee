#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "regroup/results/evaluation.h"
#include "regroup/tasks/probe.h"

namespace regroup {

/// A probe with what every model said, in the models' order.
struct EvaluatedProbe {
  const ProbeDefinition* probe = nullptr;
  /// [models][cells]: made with each model's own tokenizer.
  std::vector<std::shared_ptr<const std::vector<ProbeCell>>> cells = {};
  std::vector<std::vector<std::vector<RequestScore>>> scores = {};  ///< [models][cells][requests]
  std::vector<int64_t> batch_tokens = {};                           ///< [models] fed at once, about
};

/// Adds the probes to the results of model `m`: over all cells and for each.
/// @param baseline  index of the model it is compared with, or -1
/// @param text      that needles were hidden in; nothing: sentences about nothing stood in for it
void add_probe_results(ModelResult& model, size_t m, int64_t baseline,
                       const std::vector<EvaluatedProbe>& probes, const ProbeOptions& options,
                       const std::optional<ProbeText>& text = std::nullopt);

}  // namespace regroup
