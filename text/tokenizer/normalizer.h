#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "part_errors.h"
#include "regroup/base/strict_json.h"

namespace regroup {

/// One step of what is done to a text before it is cut into pieces.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  /// @param limit  what a step that can make a text many times as long must ask
  virtual std::string apply(std::string_view text, const GrowthLimit& limit) const = 0;
};

/// The normalizer of a tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Replace, Prepend, Strip, Precompiled
/// and sequences of them.
class Normalizer {
 public:
  /// @param root  the value of "normalizer"; null: none
  /// @throws UnsupportedError TOK_UNSUPPORTED, TOK_REGEX_UNSUPPORTED; CheckpointError TOK_*
  static Normalizer read(const Json* root, const std::string& path);

  /// How long all parts of a text of `bytes` may become together.
  GrowthLimit growth_limit(size_t bytes) const { return {path_, "normalizer", bytes}; }
  bool changes_nothing() const { return steps_.empty(); }
  /// @throws CheckpointError TOK_EXPANSION: the text grows beyond all measure
  std::string apply(std::string_view text) const;
  /// The bytes of `text` that the first `bytes` of apply(text) come from: the shortest beginning of it with as much.
  size_t origin(std::string_view text, size_t bytes) const;

 private:
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
  std::string path_;
};

}  // namespace regroup
