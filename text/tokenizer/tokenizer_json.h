#pragma once

#include <memory>
#include <string>

#include "json_tokenizer.h"

namespace regroup {

/// Reads a folder's tokenizer.json, or GPT-2's vocab.json and merges.txt, with the ends and the added tokens that tokenizer_config.json asks for beyond it, as
/// transformers does: `add_bos_token` or `add_eos_token` there takes the place of the file's post_processor.
/// @throws UnsupportedError  TOK_UNSUPPORTED, TOK_REGEX_UNSUPPORTED: names the part that is not carried out exactly
/// @throws CheckpointError   JSON_*, TOK_*, LIMIT_*, CFG_*
std::unique_ptr<JsonTokenizer> read_tokenizer_json(const std::string& folder);

}  // namespace regroup
