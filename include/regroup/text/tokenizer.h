#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/text/documents.h"

namespace regroup {

/// The tokenizer of a model folder: a tokenizer.json, which gives the ids of the tokenizers package, or a SentencePiece
/// model (tokenizer.model). tokenizer_config.json says which tokens are put around a text where the file itself does not.
class Tokenizer {
 public:
  /// @param folder  a model folder, or a folder with the tokenizer files alone
  /// @throws CheckpointError   TOK_*, JSON_*, CFG_*, LIMIT_*
  /// @throws UnsupportedError  TOK_UNSUPPORTED, TOK_REGEX_UNSUPPORTED: a part of tokenizer.json that is not carried out
  /// exactly, another kind of tokenizer
  static Tokenizer open(const std::string& folder);
  /// From now on the text of a special token is the token, as transformers reads it.
  /// @throws UnsupportedError TOK_UNSUPPORTED  without a tokenizer.json, or where a token is found as a word alone
  void parse_special_tokens();
  /// True if there is a file that open() reads.
  static bool is_in(const std::string& folder);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of one document, with the special tokens around it. Text such as "<s>" stays text, of which the first is told
  /// (notice.h), unless parse_special_tokens() was called. What is not UTF-8 counts as U+FFFD.
  /// @throws CheckpointError LIMIT_REGEX, TOK_EXPANSION, TOK_UNK: tokenizer.json does not get on with the text;
  /// TOK_VOCAB_MISMATCH: the text holds an added token for which require_vocabulary() found no row
  std::vector<int32_t> encode(std::string_view text) const;
  std::vector<int32_t> encode(std::string_view text, bool add_bos, bool add_eos) const;
  /// The same, but it may end once there are `enough` ids: a long text is encoded in segments.
  std::vector<int32_t> encode_front(std::string_view text, size_t enough) const;
  /// The text of a document: its own, or a conversation as the model's chat template writes it down, in `written`.
  /// @throws CheckpointError TPL_MISSING, TPL_TYPE, TPL_MESSAGES, TPL_BUDGET; UnsupportedError TPL_UNSUPPORTED
  std::string_view text_of(const Document& document, std::string& written) const;
  /// Ids of text_of(document). A chat template's special tokens are tokens.
  std::vector<int32_t> encode(const Document& document, std::string_view text, bool add_bos,
                              bool add_eos) const;
  /// The same with the special tokens that the tokenizer puts around texts; around conversations it puts none.
  std::vector<int32_t> encode_front(const Document& document, std::string_view text,
                                    size_t enough) const;
  /// The text of `ids`, with that of added tokens, special or not, but without BOS and EOS. Ids beyond
  /// them, rows that only pad the embedding, are no text. @throws CheckpointError TOK_ID_RANGE
  std::string decode(const std::vector<int32_t>& ids) const;
  /// UTF-8 bytes of the text that `ids`, a prefix of encode(text), stand for.
  int64_t prefix_bytes(std::string_view text, size_t n_ids) const;
  int64_t prefix_bytes(const Document& document, std::string_view text, size_t n_ids) const;

  int64_t vocab_size() const;  ///< pieces, without added tokens
  bool adds_bos() const;
  bool adds_eos() const;
  int32_t bos_id() const;  ///< -1: none
  int32_t eos_id() const;
  /// SHA-256 of tokenizer.json or tokenizer.model (and of what `"add_prefix_space": false` adds to the latter): two models
  /// with the same digest share their ids.
  const std::string& digest() const;

  class Kind;  ///< text/tokenizer/tokenizer_kind.h

 private:
  struct Use;  ///< how a text is read, and what is put around it
  struct Conversations;
  friend Tokenizer open_tokenizer(const std::string& folder, int64_t rows,
                                  const DocumentOptions& options, bool with_eos);
  std::vector<int32_t> encode(std::string_view text, size_t enough, const Use& use) const;
  Use use_of(const Document& document) const;
  Tokenizer(std::unique_ptr<Kind> kind, std::string folder);
  void require_rows(const std::vector<int32_t>& ids) const;
  friend void require_vocabulary(Tokenizer& tokenizer, int64_t rows, const std::string& path,
                                 bool with_eos);

  std::unique_ptr<Kind> kind_;
  std::unique_ptr<Conversations> conversations_;
  bool parses_special_ = false;
  int64_t rows_ = INT64_MAX;  ///< of the model whose texts are encoded
  std::string model_;         ///< its place, for errors
};

/// That a model of `rows` embedding rows has one for every piece, and for what is put around texts. Added tokens beyond
/// the rows are refused when a text holds one, as transformers does.
/// @param with_eos  EOS is put behind texts, whatever the tokenizer itself does
/// @throws CheckpointError TOK_VOCAB_MISMATCH
void require_vocabulary(Tokenizer& tokenizer, int64_t rows, const std::string& path,
                        bool with_eos = false);

/// SHA-256 of the files that say how the folder's model writes conversations down, "" where there are none.
std::string chat_template_digest(const std::string& folder);

/// The tokenizer of a model folder, for the texts that `options` describe.
/// @throws as Tokenizer::open, parse_special_tokens and require_vocabulary
Tokenizer open_tokenizer(const std::string& folder, int64_t rows, const DocumentOptions& options,
                         bool with_eos = false);

}  // namespace regroup
