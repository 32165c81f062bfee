#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// How a folder was converted, as its manifest says.
struct ConversionRecord {
  std::string method;
  bool calibrated = false;  ///< with text, or with statistics of an earlier calibration
  int64_t kv_heads_before = 0;
  int64_t kv_heads_after = 0;
};

/// Nothing unless the folder's manifest is one of a conversion. Only for telling people: a manifest
/// that cannot be read is verify's business, and nothing here.
std::optional<ConversionRecord> conversion_of(const std::string& folder);

/// What verify() found. Empty `problems` means that everything agrees.
struct VerifyResult {
  std::vector<std::string> problems;
  bool other_parent = false;  ///< the parent is not, or may not be, what the folder was made from
  std::vector<std::string> notices;
  int64_t files = 0;
  int64_t tensors = 0;
  int64_t bytes = 0;
  bool has_manifest = false;
  /// With a parent: tensors equal to and different from the parent's, and those only one side has.
  std::vector<std::string> changed;
  int64_t equal = 0;
};

/// Checks a model folder: structure, config, index and tensors; with a manifest also the SHA-256 of
/// every file and the XXH3-128 of every tensor.
/// @param parent  "" or a folder to compare with: tensors outside the KV heads must not differ
///                when the manifest says that the method leaves them alone, nor may it be another model
///                than the manifest says
/// @throws CheckpointError when the folder cannot be opened as a model at all
VerifyResult verify_folder(const std::string& path, const std::string& parent);

}  // namespace regroup
