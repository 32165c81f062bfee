#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/text/documents.h"
#include "regroup/text/token_file.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// The tokens of a text, its documents' tokens in order, and the text they stand for.
struct TokenStream {
  std::string name;
  std::vector<int64_t> ids;
  std::optional<int64_t> bytes;  ///< UTF-8 bytes of the text; unknown for token files
  std::optional<int64_t> words;  ///< pieces of a split on white space
  std::string path = {};         ///< the file it was read from
};

/// Tokenizes a text file. @param max_tokens  keep the first so many tokens; 0: all
TokenStream read_text_stream(const std::string& path, const Tokenizer& tokenizer,
                             const DocumentOptions& options, int64_t max_tokens);

/// Reads a token file. @throws CheckpointError TOKENS_RANGE for ids beyond the vocabulary
TokenStream read_token_stream(const std::string& path, TokenFormat format, int64_t vocab_size,
                              int64_t max_tokens);

/// @throws CheckpointError TEXT_TOO_SHORT unless one token can be predicted from one before it
void require_window(const TokenStream& stream);

/// "a/b/valid.txt" -> "valid": how results name a text.
std::string stream_name(const std::string& path);

}  // namespace regroup
