#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/convert/calibrated.h"
#include "regroup/convert/convert_options.h"

namespace regroup {

/// The tokens of the calibration's files, one after another.
struct CalibrationText {
  std::vector<int64_t> ids;
  std::vector<int64_t> ends;  ///< tokens up to the end of each file

  /// Windows of so many tokens that begin in each file.
  std::vector<int64_t> windows(int64_t seq_len) const;
};

/// What a calibration of `tokens` is spread over: 16 times as many, evenly from the files; where many files
/// have less than `tokens` so, up to `tokens` of each.
/// @throws StoppedError  a signal asks for a stop
CalibrationText read_calibration_text(const ModelFolder& model, const CalibrationOptions& options,
                                      int64_t tokens);

/// So many tokens in whole windows that the parent writes itself, float32: each window begins with another token
/// of the vocabulary and goes on as the model's own distribution draws it (as in arXiv:2305.17888, section 2.1,
/// which takes the likeliest for the first few).
std::vector<int64_t> own_text(const ModelFolder& model, int64_t seq_len, int64_t tokens,
                              uint64_t seed, at::Device device, const TextProgress& writes);

/// So many different ids below `vocab_size`, in an order that follows from the seed.
std::vector<int64_t> first_tokens(int64_t vocab_size, int64_t count, uint64_t seed);

/// @throws CheckpointError TEXT_TOO_SHORT saying how many tokens are needed
void require_calibration_tokens(const CalibrationOptions& options, int64_t found, int64_t seq_len,
                                int64_t needed_tokens);

}  // namespace regroup
