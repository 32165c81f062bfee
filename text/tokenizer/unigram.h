#pragma once

#include <memory>
#include <string>

#include "regroup/base/strict_json.h"
#include "word_model.h"

namespace regroup {

/// Reads a "model" of the type Unigram.
/// @throws CheckpointError TOK_SCORES, TOK_UNK, TOK_EMPTY, TOK_DUPLICATE, TOK_TOKEN_LENGTH
std::unique_ptr<WordModel> read_unigram(const Json& model, const std::string& path);

}  // namespace regroup
