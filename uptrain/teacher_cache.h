#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "dataset.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/model/decoder.h"
#include "regroup/model/distillation.h"

namespace regroup {

/// What decides the content of a cache. Which tokens sample i has follows from data, seed and seq_len,
/// so a cache serves every run that has them, whatever its student and batch size.
struct TeacherCacheKey {
  std::string teacher_sha256;
  std::string data;  ///< Dataset::fingerprint()
  uint64_t seed = 0;
  int64_t seq_len = 0;
  int64_t vocab_size = 0;
  int64_t top_k = 0;
  double temperature = 1.0;
  std::string precision;  ///< of the teacher: "fp32" or "bf16"
  int64_t samples = 0;    ///< the first samples of the order; a cache may hold more

  /// Bytes of the file without its header: float16 log-probabilities, uint16 ids (int32 beyond 65,536)
  /// and a float32 tail for each position.
  int64_t bytes() const;
};

/// A teacher's k likeliest tokens at every position of every training sample, with the mass of the
/// rest: FOLDER/teacher.safetensors, complete or absent (docs/formats.md).
class TeacherCache {
 public:
  /// Opens what fits `key`; nullptr when the folder holds none.
  /// @throws ConfigError TEACHER_CACHE_MISMATCH naming what differs
  static std::unique_ptr<TeacherCache> find(const std::string& folder, const TeacherCacheKey& key);

  /// Asks the teacher about every sample and writes the file; the folder is created when absent, and
  /// locked meanwhile.
  /// @param batch     samples at once
  /// @param progress  called with the samples done so far
  static void write(const std::string& folder, const TeacherCacheKey& key, const Decoder& teacher,
                    const Dataset& dataset, int64_t batch,
                    const std::function<void(int64_t)>& progress);

  /// Samples [first, first + count), a row for each position, on `device`. Probabilities are scaled to
  /// sum to 1 again after the rounding to float16.
  TopKLogProbs read(int64_t first, int64_t count, at::Device device) const;

 private:
  explicit TeacherCache(SafetensorsFile file) : file_(std::move(file)) {}
  /// Positions of one sample are copied to rows [row, row + seq_len).
  void read_sample(int64_t sample, int64_t row, const TopKLogProbs& into) const;

  SafetensorsFile file_;
  TeacherCacheKey key_;
  int64_t block_ = 0;  // samples in a tensor
};

/// The k likeliest of each row, and the log of what is left.
/// @param logits  [rows, vocab] float32
TopKLogProbs top_k_log_probs(const at::Tensor& logits, int64_t k, double temperature);

}  // namespace regroup
