#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// The tokenizer of a model folder: a SentencePiece model (tokenizer.model) with the special tokens
/// that tokenizer_config.json asks for. Without that file BOS is added and EOS is not, as Llama does.
class Tokenizer {
 public:
  /// @param folder  a model folder, or a folder with the tokenizer files alone
  /// @throws CheckpointError   TOK_MISSING, TOK_PROTO, JSON_*
  /// @throws UnsupportedError  TOK_UNSUPPORTED: a tokenizer.json without tokenizer.model
  static Tokenizer open(const std::string& folder);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Ids of one document, with the special tokens around it. Text such as "<s>" stays text.
  std::vector<int32_t> encode(std::string_view text) const;
  std::vector<int32_t> encode(std::string_view text, bool add_bos, bool add_eos) const;
  std::string decode(const std::vector<int32_t>& ids) const;
  /// UTF-8 bytes of the text that `ids`, a prefix of encode(text), stand for.
  int64_t prefix_bytes(std::string_view text, size_t n_ids) const;

  int64_t vocab_size() const;
  bool adds_bos() const { return add_bos_; }
  bool adds_eos() const { return add_eos_; }
  int32_t bos_id() const;
  int32_t eos_id() const;
  /// SHA-256 of tokenizer.model: two models with the same digest share their ids.
  const std::string& digest() const { return digest_; }

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  bool add_bos_ = true;
  bool add_eos_ = false;
  std::string digest_;
};

/// @throws CheckpointError TOK_VOCAB_MISMATCH when the tokenizer has ids the model has no row for
void require_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& path);

}  // namespace regroup
