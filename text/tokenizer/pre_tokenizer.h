#pragma once

#include <memory>
#include <string>
#include <vector>

#include "piece.h"
#include "regroup/base/strict_json.h"

namespace regroup {

/// One step that cuts pieces into smaller ones, or changes what the model sees of them.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  /// @return false when the sink did
  virtual bool visit(const Piece& piece, const PieceSink& sink) const = 0;
};

/// The pre-tokenizer of a tokenizer.json: ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace-
/// Split, CharDelimiterSplit and sequences of them.
class PreTokenizer {
 public:
  /// @param root  the value of "pre_tokenizer"; null: none
  /// @throws UnsupportedError TOK_UNSUPPORTED, TOK_REGEX_UNSUPPORTED; CheckpointError TOK_PART
  static PreTokenizer read(const Json* root, const std::string& path);

  /// Hands on the pieces of a text in order. @return false when the sink did
  bool visit(const Piece& text, const PieceSink& sink) const { return visit_from(0, text, sink); }
  /// The last step takes bytes as symbols; it is left to the model, whose pieces are bytes.
  bool ends_with_bytes() const { return ends_with_bytes_; }

 private:
  bool visit_from(size_t step, const Piece& piece, const PieceSink& sink) const;
  std::vector<std::unique_ptr<PreTokenizerStep>> steps_;
  bool ends_with_bytes_ = false;
};

}  // namespace regroup
