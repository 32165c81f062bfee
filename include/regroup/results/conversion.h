#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/fields.h"

namespace regroup {

inline constexpr const char* kConversionFormat = "regroup convert/1";

/// What a dry run says beside: nothing was written.
struct DryRun {
  int64_t peak_memory_bytes = 0;
  std::vector<std::pair<std::string, int64_t>> files = {};  ///< name and bytes
};

/// What a conversion took.
struct ConversionCost {
  double seconds = 0;
  int64_t peak_rss_bytes = 0;
};

/// Which weights calibration scaled.
struct ConversionGains {
  bool logit = false;
  bool output = false;
};

/// What `convert` did, or with --dry-run would do.
struct ConversionResult {
  std::string model;
  std::string out;
  std::string family;
  std::string written_as;  ///< the family of OUT
  std::string method;
  int64_t kv_heads_before = 0;
  int64_t kv_heads_after = 0;
  int64_t tensors_copied = 0;
  int64_t tensors_changed = 0;
  int64_t read_bytes = 0;
  int64_t written_bytes = 0;
  std::optional<DryRun> dry_run = {};
  std::optional<ConversionCost> cost = {};  ///< of a conversion that was carried out
  NamedTexts digests = {};                  ///< SHA-256 of the files of OUT
  int64_t calibration_tokens = 0;           ///< 0: without text
  double calibration_flops = 0;
  int64_t resumed_files = 0;
  std::optional<ConversionGains> gains = {};  ///< of the method pca
};

Json conversion_result_json(const ConversionResult& conversion);
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
ConversionResult read_conversion(const Json& json, const std::string& path);

}  // namespace regroup
