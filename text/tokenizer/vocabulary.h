#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// The tokens of a model by id and by text. Ids may have holes.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  /// Puts in tokens; `path` names the file in errors. @throws CheckpointError TOK_ID_RANGE, TOK_DUPLICATE,
  /// TOK_TOKEN_LENGTH
  void add(const std::string& token, int64_t id, const std::string& path);
  void reserve(size_t tokens) { ids_.reserve(tokens); }

  int32_t find(std::string_view token) const;  ///< -1: none
  /// The text of an id, or nullptr.
  const std::string* token(int32_t id) const;
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }  ///< highest id + 1
  size_t count() const { return ids_.size(); }

 private:
  std::vector<const std::string*> tokens_;  // keys of ids_, which do not move
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
};

/// That a token is no longer than any real one. @throws CheckpointError TOK_TOKEN_LENGTH
void require_token_length(std::string_view token, int64_t id, const std::string& path);

/// The id of "<0x00>" to "<0xFF>" for each byte; -1 where there is none.
std::vector<int32_t> byte_tokens(const Vocabulary& vocabulary);

}  // namespace regroup
