#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// The tokenizer of a model folder: a SentencePiece model (tokenizer.model) with the special tokens, the
/// added tokens and the space in front that tokenizer_config.json and added_tokens.json ask for. Without
/// them BOS is added and EOS is not, as Llama does.
class Tokenizer {
 public:
  /// @param folder  a model folder, or a folder with the tokenizer files alone
  /// @throws CheckpointError   TOK_MISSING, TOK_PROTO, JSON_*, CFG_*
  /// @throws UnsupportedError  TOK_UNSUPPORTED: a tokenizer.json alone, a vocabulary of tiktoken
  static Tokenizer open(const std::string& folder);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of one document, with the special tokens around it. Text such as "<s>" stays text.
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
  bool adds_bos() const { return add_bos_; }
  bool adds_eos() const { return add_eos_; }
  int32_t bos_id() const;  ///< -1: none
  int32_t eos_id() const;
  /// SHA-256 of tokenizer.model (and of what `"add_prefix_space": false` adds to it): two models with the
  /// same digest share their ids.
  const std::string& digest() const { return digest_; }

 private:
  struct State;
  std::vector<int32_t> encode_front(std::string_view text, size_t enough, bool add_bos,
                                    bool add_eos) const;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  bool add_bos_ = true;
  bool add_eos_ = false;
  std::string digest_;
};

/// @param with_eos  EOS is put behind texts, whatever the tokenizer itself does
/// @throws CheckpointError TOK_VOCAB_MISMATCH when the tokenizer has ids the model has no row for
void require_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& path,
                        bool with_eos = false);

}  // namespace regroup
