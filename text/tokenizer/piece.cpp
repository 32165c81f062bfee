#include "piece.h"

#include <algorithm>

#include "utf8.h"

namespace regroup {

std::string_view PieceCutter::source_at(size_t at) {
  // A prefix or suffix that a model adds and spells in bytes counts as text that the piece does not have.
  at = std::min(at, piece_.text.size());
  if (piece_.unit == PieceUnit::kSame) {
    const size_t bytes = at > piece_.added ? at - piece_.added : 0;
    return piece_.source.substr(std::min(bytes, piece_.source.size()));
  }
  at_ = std::max(at_, std::min(piece_.added, at));
  while (at_ < at && !source_.empty()) {
    at_ += character_bytes(static_cast<unsigned char>(piece_.text[at_]));
    if (at_ > at) break;  // within a character
    const bool symbol = piece_.unit == PieceUnit::kSymbol;
    source_.remove_prefix(symbol ? 1 : character_bytes(static_cast<unsigned char>(source_[0])));
  }
  return source_;
}

Piece PieceCutter::cut(size_t begin, size_t end) {
  return {.text = piece_.text.substr(begin, end - begin),
          .source = source_at(begin),
          .added = piece_.added > begin ? std::min(piece_.added, end) - begin : 0,
          .unit = piece_.unit,
          .first = piece_.first && begin == 0};
}

}  // namespace regroup
