#pragma once

#include <vector>

#include "eval_models.h"
#include "regroup/eval/eval_state.h"

namespace regroup {

/// The texts that `flags` name, as windows of ids. @throws as read_text_stream, read_token_stream
std::vector<EvaluatedText> open_texts(const EvalFlags& flags, const EvalModels& models);

/// Scores every model on every text, each beside the baseline, so that two models are held at a time.
void score_texts(EvalModels& models, bool keep_nll, EvalState& state,
                 std::vector<EvaluatedText>& texts, const Globals& globals);

}  // namespace regroup
