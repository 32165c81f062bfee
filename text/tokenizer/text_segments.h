#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace regroup {

/// Cuts a long text in front of single spaces between letters, where no piece of a SentencePiece vocabulary
/// reaches across, and hands the segments on in order: encoding takes some 50 bytes of memory for each byte of
/// text. Every segment but the first begins with its space.
/// @param visit  gets the segment and where it begins; returns false to end it
void visit_segments(std::string_view text,
                    const std::function<bool(std::string_view segment, size_t begin)>& visit);

}  // namespace regroup
