#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace regroup {

/// How the characters of a piece stand for the text it was cut from.
enum class PieceUnit {
  kSame,    ///< byte for byte
  kSymbol,  ///< each character is the symbol of one byte
  kMark,    ///< each character is one character, a space perhaps replaced by a mark
};

/// A part of a text on its way through the pre-tokenizer: what the model will see, and where it comes from.
struct Piece {
  std::string_view text;
  std::string_view source;  ///< what `text` begins to stand for, and all that follows in the text
  size_t added =
      0;  ///< bytes in front of `text` that stand for nothing: a space that was put there
  PieceUnit unit = PieceUnit::kSame;
  bool first = false;  ///< the text begins here
};

/// Takes pieces in order; returns false when it needs no more.
using PieceSink = std::function<bool(const Piece&)>;

/// Cuts one piece from left to right.
class PieceCutter {
 public:
  explicit PieceCutter(const Piece& piece) : piece_(piece), source_(piece.source) {}
  /// The piece of bytes [begin, end) of the text; begin does not fall from call to call.
  Piece cut(size_t begin, size_t end);
  /// What the text from `at` on stands for; `at` does not fall from call to call.
  std::string_view source_at(size_t at);

 private:
  const Piece& piece_;
  std::string_view source_;
  size_t at_ = 0;
};

}  // namespace regroup
