#pragma once

#include <optional>
#include <vector>

#include "eval_models.h"
#include "regroup/eval/eval_state.h"
#include "regroup/eval/probe_results.h"

namespace regroup {

/// The text of --probe-text; nothing without it.
/// @throws as read_probe_text
std::optional<ProbeText> open_probe_text(const EvalFlags& flags);

/// The probes that `flags` name, made for each model: of equal tokenizers and contexts once.
/// @throws as choose_probes and open_tokenizer
std::vector<EvaluatedProbe> open_probes(const EvalFlags& flags,
                                        const std::optional<ProbeText>& text, EvalModels& models,
                                        const Globals& globals);

/// Asks every model every probe.
void score_probes(const EvalFlags& flags, EvalModels& models, EvalState& state,
                  std::vector<EvaluatedProbe>& probes, const Globals& globals);

}  // namespace regroup
