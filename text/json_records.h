#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "regroup/base/strict_json.h"
#include "regroup/text/text_buffer.h"

namespace regroup {

/// Hands on each value of a .jsonl file (one a line), of a JSON array, or of a .json file that holds one object
/// after the other; `where` says which one it is. `visit` returns false to end it.
/// @throws CheckpointError JSONL_LINE_LIMIT, JSON_SYNTAX and the others of parse_strict_json, TEXT_UTF8,
///                         TEXT_BINARY
void visit_json_records(
    TextBuffer& text, bool by_line,
    const std::function<bool(const Json& record, const std::string& where)>& visit);

}  // namespace regroup
