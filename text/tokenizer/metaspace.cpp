#include "metaspace.h"

#include "utf8.h"

namespace regroup {

bool Metaspace::visit(const Piece& piece, const PieceSink& sink) const {
  const bool begins = piece.text.starts_with(' ') || piece.text.starts_with(mark_);
  const bool wanted =
      in_front_ == MarkInFront::kAlways || (in_front_ == MarkInFront::kFirst && piece.first);
  std::string text;
  text.reserve(piece.text.size() + piece.text.size() / 4 + mark_.size());
  Piece marked = piece;
  marked.unit = PieceUnit::kMark;
  marked.added = 0;
  if (wanted && !begins) {
    text += mark_;
    marked.added = mark_.size();
  }
  for (const char c : piece.text) {
    if (c == ' ') {
      text += mark_;
    } else {
      text += c;
    }
  }
  marked.text = text;
  if (!splits_) return sink(marked);
  PieceCutter cutter(marked);
  for (size_t begin = 0; begin < text.size();) {
    const size_t own = text.compare(begin, mark_.size(), mark_) == 0 ? mark_.size() : 0;
    const size_t end = std::min(text.find(mark_, begin + own), text.size());
    if (!sink(cutter.cut(begin, end))) return false;
    begin = end;
  }
  return true;
}

Metaspace read_metaspace(const Part& part) {
  const std::string mark = part.string("replacement");
  const bool one =
      !mark.empty() && character_bytes(static_cast<unsigned char>(mark[0])) == mark.size();
  if (!one) part.refuse("must replace spaces by one character");
  MarkInFront in_front = MarkInFront::kAlways;
  if (part.find("prepend_scheme") != nullptr) {
    const std::string scheme = part.string("prepend_scheme");
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      part.refuse("has a prepend_scheme that regroup does not know: " + scheme);
    }
    if (scheme == "first") in_front = MarkInFront::kFirst;
    if (scheme == "never") in_front = MarkInFront::kNever;
  } else if (!part.boolean("add_prefix_space", true)) {
    in_front = MarkInFront::kNever;
  }
  return {mark, in_front, part.boolean("split", true)};
}

}  // namespace regroup
