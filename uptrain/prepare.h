#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dataset.h"
#include "regroup/model/processes.h"
#include "regroup/text/token_stream.h"
#include "regroup/uptrain/options.h"
#include "regroup/uptrain/trainer.h"

namespace regroup {

/// The training data: options.data as token files. Texts are tokenized with the model's tokenizer by the first process and kept
/// under `cache`; token files are checked against the tokenizer.
/// @throws CheckpointError TOK_MISMATCH when a token file's sidecar names another tokenizer
/// @throws ConfigError DATA_NOT_SHARED when another process does not see what the first has tokenized
std::unique_ptr<Dataset> open_data(const UptrainOptions& options, int64_t vocab_size,
                                   const std::string& cache, const TrainObserver& observer,
                                   Processes& processes);

/// The held-out text, or nothing when none was given.
std::optional<TokenStream> read_validation(const UptrainOptions& options, int64_t vocab_size);

}  // namespace regroup
