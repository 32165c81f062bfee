#pragma once

#include <array>
#include <string>

#include "merges.h"
#include "word_model.h"

namespace regroup {

/// What a BPE model of tokenizer.json says.
struct BpeSettings {
  std::string unk_token;  ///< "": characters that are not in the vocabulary are left out
  std::string continuing_prefix;
  std::string end_suffix;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  ///< a piece that is a token is not taken apart
  /// No merge joins something that ends without a mark ("▁") to something that begins with one: a text of many words, which
  /// tokenizers like Llama 2's are given whole, may be cut there.
  bool cuts_at_marks = false;
};

/// Byte-pair encoding.
class BpeModel : public WordModel {
 public:
  /// @param takes_bytes  pieces are bytes, which the vocabulary has as symbols
  BpeModel(Vocabulary vocabulary, Merges merges, BpeSettings settings, bool takes_bytes);
  void encode(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
              std::vector<uint32_t>* bytes) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  class SymbolBuilder;
  void encode_word(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
                   std::vector<uint32_t>* bytes) const;
  void merge_piece(std::string_view piece, std::vector<Symbol>& symbols, std::vector<int32_t>& ids,
                   std::vector<uint32_t>* bytes) const;
  void add_bytes(std::string_view piece, SymbolBuilder& builder) const;
  void add_characters(std::string_view piece, SymbolBuilder& builder) const;
  /// @throws CheckpointError TOK_UNK
  [[noreturn]] void fail_unknown() const;
  /// True if each byte of a character has a token.
  bool falls_back(std::string_view character) const;
  /// The id of a whole piece where it is a token by itself, or -1.
  int32_t whole(std::string_view piece) const;

  Vocabulary vocabulary_;
  Merges merges_;
  BpeSettings settings_;
  bool takes_bytes_;
  int32_t unk_ = -1;
  std::vector<int32_t> fallback_;      // the tokens of bytes
  std::array<int32_t, 256> single_{};  // the symbols of bytes, or the tokens of ASCII characters
};

}  // namespace regroup
