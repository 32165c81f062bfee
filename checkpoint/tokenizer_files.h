#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace regroup {

/// The bytes of tokenizer.model. @throws CheckpointError TOK_MISSING, TOK_PROTO for a placeholder;
/// UnsupportedError TOK_UNSUPPORTED for another kind of tokenizer
std::string read_tokenizer_model(const std::string& folder);

/// What stands beside tokenizer.model.
struct TokenizerSettings {
  bool add_bos = true;
  bool add_eos = false;
  bool add_prefix_space = true;  ///< " a" and "a" at the start of a text are the same
  /// The text of a token; "" where the file says null: there is none. Absent: as tokenizer.model says.
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::map<int32_t, std::string> added;  ///< ids with their text, of added tokens
};
/// Reads tokenizer_config.json and added_tokens.json; neither has to be there.
/// @throws CheckpointError JSON_*, CFG_NOT_OBJECT, CFG_TYPE
TokenizerSettings read_tokenizer_settings(const std::string& folder);

}  // namespace regroup
