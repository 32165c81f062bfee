#pragma once

#include <memory>
#include <string>

#include "regroup/base/strict_json.h"
#include "word_model.h"

namespace regroup {

/// Reads a "model" of the type BPE.
/// @param takes_bytes  pieces are bytes; their symbols are in the vocabulary
/// @throws UnsupportedError TOK_UNSUPPORTED; CheckpointError TOK_MERGE, TOK_ID_RANGE, TOK_DUPLICATE,
/// TOK_TOKEN_LENGTH, TOK_EMPTY, LIMIT_MERGES
std::unique_ptr<WordModel> read_bpe(const Json& model, bool takes_bytes, const std::string& path);

/// Reads the "vocab" of a model that is an object of texts and ids.
Vocabulary read_vocabulary(const Json& model, const std::string& path);

}  // namespace regroup
