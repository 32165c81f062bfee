#pragma once

#include <string_view>

#include "kinds/result_kind.h"

namespace regroup {

// Files without a format tag, which only their shape tells apart: those that earlier versions of regroup wrote, and those of
// lm-evaluation-harness. Nothing else in the program knows a file by its shape. What a new kind of file is, its tag says alone.

/// nullptr: of no kind that a report reads.
const ResultKind* untagged_kind(const Json& file);

/// Likewise of a file with an object in each line.
const ResultKind* untagged_lines_kind(std::string_view text);

}  // namespace regroup
