#pragma once

#include <memory>
#include <string>

#include "tokenizer_kind.h"

namespace regroup {

/// The tokenizer of a folder: tokenizer.json where there is one, as transformers prefers it, else tokenizer.model, else GPT-2's
/// vocab.json and merges.txt. Where a
/// folder has both, a notice says which one is used if the other may give other ids, or if tokenizer.json has a part
/// that regroup does not carry out.
/// @throws what read_tokenizer_json() and SentencePieceTokenizer::open() throw
std::unique_ptr<Tokenizer::Kind> choose_tokenizer(const std::string& folder);

}  // namespace regroup
