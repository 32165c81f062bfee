#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "part_reader.h"
#include "piece.h"
#include "regex.h"

namespace regroup {

/// What becomes of the matches that a piece is split at.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// @throws CheckpointError TOK_PART for another word
SplitBehavior read_behavior(const Part& part);

/// Finds the next match at or behind a position.
using MatchFinder = std::function<std::optional<ByteRange>(std::string_view text, size_t from)>;

/// Hands on the pieces that `piece` falls into. @param invert  what lies between matches counts as match
/// @return  false when the sink did
bool split_piece(const Piece& piece, const MatchFinder& find, SplitBehavior behavior, bool invert,
                 const PieceSink& sink);

}  // namespace regroup
