#pragma once

#include <cstddef>
#include <string>

namespace regroup {

/// A part of tokenizer.json that regroup does not carry out exactly. @throws UnsupportedError TOK_UNSUPPORTED
[[noreturn]] void refuse_part(const std::string& path, const std::string& message);

/// A part that contradicts the format. @throws CheckpointError `code`
[[noreturn]] void wrong_part(const std::string& path, const char* code, const std::string& message);

/// How long a text may become on its way through a pipeline of tokenizer.json.
class GrowthLimit {
 public:
  /// @param role   the key of the pipeline
  /// @param bytes  of the text as it was
  GrowthLimit(const std::string& path, const char* role, size_t bytes)
      : path_(path), role_(role), bytes_(bytes) {}
  /// @throws CheckpointError TOK_EXPANSION: the text grows beyond all measure
  void require(size_t grown) const {
    if (grown > bytes_ * kMaxGrowth + kAlwaysAllowed) fail(grown);
  }

 private:
  static constexpr size_t kMaxGrowth = 64;  // Precompiled and NFKC stay far below it
  static constexpr size_t kAlwaysAllowed = 1 << 20;
  [[noreturn]] void fail(size_t grown) const;
  const std::string& path_;
  const char* role_;
  size_t bytes_;
};

}  // namespace regroup
