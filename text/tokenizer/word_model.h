#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vocabulary.h"
#include "word_scratch.h"

namespace regroup {

inline constexpr std::string_view kSpaceMark =
    "\u2581";  ///< "▁", a space in SentencePiece's vocabularies

/// What turns a piece of text into ids: BPE or Unigram.
class WordModel {
 public:
  virtual ~WordModel() = default;
  /// Appends the ids of a piece, which is not empty. @param bytes  if given: how many bytes of the piece each id stands for
  /// @param scratch  used with this model alone, and by one thread at a time
  virtual void encode(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
                      std::vector<uint32_t>* bytes) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
};

}  // namespace regroup
