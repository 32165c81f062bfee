#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// What is put around the ids of a text.
struct TextEnds {
  std::vector<int32_t> front;
  std::vector<int32_t> back;
};

/// Reads the "post_processor" of a tokenizer.json (null: nothing is put around): TemplateProcessing, RobertaProcessing,
/// BertProcessing, ByteLevel (which only moves offsets) and sequences of them.
/// @throws UnsupportedError TOK_UNSUPPORTED; CheckpointError TOK_PART
TextEnds read_post_processor(const Json* root, const std::string& path);

}  // namespace regroup
