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
/// @param writes  false: another process has tokenized, and its files must be in the cache
/// @throws CheckpointError TOK_MISMATCH when a token file's sidecar names another tokenizer
/// @throws ConfigError DATA_NOT_SHARED when what another process has tokenized is not seen
std::vector<std::string> prepare_data(const UptrainOptions& options, int64_t vocab_size,
                                      const std::string& cache, const TrainObserver& observer,
                                      bool writes = true);

/// The held-out text, or nothing when none was given.
std::optional<TokenStream> read_validation(const UptrainOptions& options, int64_t vocab_size);

}  // namespace regroup
