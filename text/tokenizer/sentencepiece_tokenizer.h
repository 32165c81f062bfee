#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "prefix_tree.h"
#include "tokenizer_files.h"
#include "tokenizer_kind.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace regroup {

/// A SentencePiece model with the special tokens, the added tokens and the space in front that tokenizer_config.json and
/// added_tokens.json ask for. Without them BOS is added and EOS is not, as Llama does.
class SentencePieceTokenizer : public Tokenizer::Kind {
 public:
  /// @throws CheckpointError TOK_MISSING, TOK_PROTO, JSON_*, CFG_*; UnsupportedError TOK_UNSUPPORTED
  static std::unique_ptr<SentencePieceTokenizer> open(const std::string& folder);
  SentencePieceTokenizer();
  ~SentencePieceTokenizer() override;

  bool encode(std::string_view text, size_t enough, bool special,
              std::vector<int32_t>& ids) const override;
  std::string decode(const std::vector<int32_t>& ids) const override;
  int64_t prefix_bytes(std::string_view text, size_t n_ids, bool special) const override;
  int64_t vocab_size() const override;
  int32_t highest_added() const override { return -1; }  ///< texts are given none
  void allow_special_tokens() override;
  std::string piece(int32_t id) const;

 private:
  using SegmentVisitor = std::function<bool(std::string_view, size_t begin, size_t skipped)>;
  void encode_segment(std::string_view text, std::vector<int32_t>& ids) const;
  /// Hands on the segments as they are encoded, where they begin in the text and what was skipped there.
  void visit(std::string_view text, const SegmentVisitor& each) const;
  void look_for_segments();
  /// The text of an added token, or nullptr for ids that SentencePiece knows better.
  const std::string* added(int32_t id) const;
  void find_special_texts();
  /// Says once that texts hold a special token.
  void tell_special(std::string_view text) const;
  std::string decode_pieces(const std::vector<int>& pieces, bool at_start) const;

  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  TokenizerSettings settings_;
  int ordinary_ = -1;
  bool splits_ = false;  ///< a text may be encoded in segments
  PrefixTree special_;   ///< texts of special tokens
  std::string folder_;
  mutable std::atomic<bool> told_ = false;
  size_t skipped_ = 0;  ///< bytes in front of a later segment: the space that SentencePiece adds
};

}  // namespace regroup
