#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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
  /// True if there is a file that open() reads.
  static bool is_in(const std::string& folder);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of one document, with the special tokens around it. Text such as "<s>" stays text. What is not UTF-8 counts as
  /// U+FFFD. @throws CheckpointError LIMIT_REGEX, TOK_EXPANSION, TOK_UNK: tokenizer.json does not get on with the text
  std::vector<int32_t> encode(std::string_view text) const;
  std::vector<int32_t> encode(std::string_view text, bool add_bos, bool add_eos) const;
  /// The same, but it may end once there are `enough` ids: a long text is encoded in segments.
  std::vector<int32_t> encode_front(std::string_view text, size_t enough) const;
  /// The text of `ids`, with that of added tokens, special or not, but without BOS and EOS. Ids beyond
  /// them, rows that only pad the embedding, are no text. @throws CheckpointError TOK_ID_RANGE
  std::string decode(const std::vector<int32_t>& ids) const;
  /// UTF-8 bytes of the text that `ids`, a prefix of encode(text), stand for.
  int64_t prefix_bytes(std::string_view text, size_t n_ids) const;

  int64_t vocab_size() const;  ///< pieces; added tokens may stand behind them
  bool adds_bos() const;
  bool adds_eos() const;
  int32_t bos_id() const;  ///< -1: none
  int32_t eos_id() const;
  /// SHA-256 of tokenizer.json or tokenizer.model (and of what `"add_prefix_space": false` adds to the latter): two models
  /// with the same digest share their ids.
  const std::string& digest() const;

  class Kind;  ///< text/tokenizer/tokenizer_kind.h

 private:
  std::vector<int32_t> encode_front(std::string_view text, size_t enough, bool add_bos,
                                    bool add_eos) const;
  explicit Tokenizer(std::unique_ptr<Kind> kind);
  std::unique_ptr<Kind> kind_;
};

/// @param with_eos  EOS is put behind texts, whatever the tokenizer itself does
/// @throws CheckpointError TOK_VOCAB_MISMATCH when the tokenizer has ids the model has no row for
void require_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& path,
                        bool with_eos = false);

}  // namespace regroup
