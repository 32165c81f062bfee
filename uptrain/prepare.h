#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/text/token_stream.h"
#include "regroup/uptrain/options.h"
#include "regroup/uptrain/trainer.h"

namespace regroup {

/// Turns options.data into token files: text is tokenized with the model's tokenizer and cached under
/// `cache`, token files are checked against it.
/// @throws CheckpointError TOK_MISMATCH when a token file's sidecar names another tokenizer
std::vector<std::string> prepare_data(const UptrainOptions& options, int64_t vocab_size,
                                      const std::string& cache, const TrainObserver& observer);

/// The held-out text, or nothing when none was given.
std::optional<TokenStream> read_validation(const UptrainOptions& options, int64_t vocab_size);

}  // namespace regroup
