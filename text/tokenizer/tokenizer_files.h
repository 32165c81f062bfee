#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace regroup {

/// What to do about a tokenizer that regroup does not read.
extern const char* const kTokenizeElsewhere;

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
  /// What tokenizer_config.json itself says of the ends, which then counts and not tokenizer.json's post_processor.
  bool names_ends = false;
  bool wants_bos = false;
  bool wants_eos = false;
  std::map<int32_t, std::string> added;  ///< ids with their text, of added tokens
};
/// Reads tokenizer_config.json and added_tokens.json; neither has to be there.
/// @throws CheckpointError JSON_*, CFG_NOT_OBJECT, CFG_TYPE
TokenizerSettings read_tokenizer_settings(const std::string& folder);

/// BOS and EOS as special_tokens_map.json names them, where tokenizer_config.json does not.
void add_token_map(const std::string& folder, TokenizerSettings& settings);

}  // namespace regroup
