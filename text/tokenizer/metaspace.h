#pragma once

#include <string>

#include "part_reader.h"
#include "pre_tokenizer.h"

namespace regroup {

/// Where a mark is put in front of a text that begins with none.
enum class MarkInFront { kAlways, kFirst, kNever };

/// Spaces as marks ("▁"), as SentencePiece has them.
class Metaspace : public PreTokenizerStep {
 public:
  Metaspace(std::string mark, MarkInFront in_front, bool splits)
      : mark_(std::move(mark)), in_front_(in_front), splits_(splits) {}
  bool visit(const Piece& piece, const PieceSink& sink) const override;
  const std::string& mark() const { return mark_; }
  MarkInFront in_front() const { return in_front_; }

 private:
  std::string mark_;
  MarkInFront in_front_;
  bool splits_;  ///< each mark begins a piece
};

/// A pre-tokenizer or a decoder of the type Metaspace. @throws CheckpointError TOK_PART
Metaspace read_metaspace(const Part& part);

}  // namespace regroup
