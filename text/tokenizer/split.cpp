#include "split.h"

#include <vector>

#include "utf8.h"

namespace regroup {
namespace {

/// A part of a piece, and whether it is a match.
struct Segment {
  ByteRange range;
  bool match;
};

/// Walks through matches and what lies between them, in order, as far as `visit` returns true.
template <typename Visit>
bool visit_matches(std::string_view text, const MatchFinder& find, bool invert,
                   const Visit& visit) {
  size_t done = 0;
  for (size_t from = 0; from <= text.size();) {
    const auto found = find(text, from);
    if (!found) break;
    if (found->begin > done && !visit({{done, found->begin}, invert})) return false;
    if (found->end > found->begin && !visit({*found, !invert})) return false;
    done = found->end;
    from = found->end;
    if (found->end == found->begin) {  // an empty match: go on behind the next character
      if (from >= text.size()) break;
      from += character_bytes(static_cast<unsigned char>(text[from]));
    }
  }
  return done >= text.size() || visit({{done, text.size()}, invert});
}

/// Joins neighbours as the behavior asks.
std::vector<ByteRange> merged(const std::vector<Segment>& segments, SplitBehavior behavior) {
  std::vector<ByteRange> out;
  const bool backwards = behavior == SplitBehavior::kMergedWithNext;
  bool previous = false;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[backwards ? segments.size() - 1 - i : i];
    const bool joins = behavior == SplitBehavior::kContiguous ? segment.match == previous
                                                              : segment.match && !previous;
    previous = segment.match;
    if (!joins || out.empty()) {
      out.push_back(segment.range);
    } else if (backwards) {
      out.back().begin = segment.range.begin;
    } else {
      out.back().end = segment.range.end;
    }
  }
  if (backwards) return {out.rbegin(), out.rend()};
  return out;
}

}  // namespace

SplitBehavior read_behavior(const Part& part) {
  const std::string word = part.string("behavior");
  if (word == "Removed") return SplitBehavior::kRemoved;
  if (word == "Isolated") return SplitBehavior::kIsolated;
  if (word == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (word == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (word == "Contiguous") return SplitBehavior::kContiguous;
  part.refuse("has a behavior that regroup does not know: " + word);
}

bool split_piece(const Piece& piece, const MatchFinder& find, SplitBehavior behavior, bool invert,
                 const PieceSink& sink) {
  PieceCutter cutter(piece);
  if (behavior == SplitBehavior::kIsolated || behavior == SplitBehavior::kRemoved) {
    const bool removes = behavior == SplitBehavior::kRemoved;
    return visit_matches(piece.text, find, invert, [&](const Segment& segment) {
      return (removes && segment.match) || sink(cutter.cut(segment.range.begin, segment.range.end));
    });
  }
  std::vector<Segment> segments;
  visit_matches(piece.text, find, invert, [&](const Segment& segment) {
    segments.push_back(segment);
    return true;
  });
  for (const ByteRange& range : merged(segments, behavior)) {
    if (!sink(cutter.cut(range.begin, range.end))) return false;
  }
  return true;
}

}  // namespace regroup
