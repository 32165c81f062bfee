#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "part_errors.h"

namespace regroup {

/// The normalization of a SentencePiece model as tokenizer.json carries it ("Precompiled"): a double array over UTF-8
/// whose values point at replacements, in base64.
class Charsmap {
 public:
  /// @throws CheckpointError TOK_CHARSMAP
  Charsmap(const std::string& base64, const std::string& path);

  /// Replaces each grapheme cluster of up to 5 bytes that is known, else each of its characters that is.
  std::string apply(std::string_view text, const GrowthLimit& limit) const;

 private:
  std::optional<std::string_view> replacement(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // ended by NUL
};

/// That a reader which follows offsets unchecked, as SentencePiece does, stays inside the charsmap
/// of a tokenizer.model.
/// @throws CheckpointError TOK_CHARSMAP, TOK_EXPANSION
void require_sound_charsmap(std::string_view charsmap, const std::string& path);

}  // namespace regroup
