#pragma once

#include <string>

#include "regroup/base/strict_json.h"

namespace regroup {

/// True if a folder has GPT-2's vocab.json and merges.txt, which some folders have instead of a tokenizer.json.
bool has_gpt2_files(const std::string& folder);

/// The tokenizer.json that transformers makes of them.
/// @throws UnsupportedError  TOK_UNSUPPORTED: tokenizer_config.json names another class, whose pieces differ
/// @throws CheckpointError   JSON_*, TOK_MERGE, CFG_*, LIMIT_*
Json read_gpt2_files(const std::string& folder);

}  // namespace regroup
