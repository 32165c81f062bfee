#pragma once

#include <memory>
#include <string>

#include "added_tokens.h"
#include "normalizer.h"
#include "pre_tokenizer.h"
#include "text_decoder.h"
#include "tokenizer_kind.h"
#include "word_model.h"

namespace regroup {

/// A tokenizer.json: added tokens, normalizer, pre-tokenizer, model and decoder, as the tokenizers package
/// runs them one after another.
class JsonTokenizer : public Tokenizer::Kind {
 public:
  struct Parts {
    Normalizer normalizer;
    PreTokenizer pre_tokenizer;
    std::unique_ptr<WordModel> model;
    std::unique_ptr<AddedTokens> added;
    TextDecoder decoder;
  };
  explicit JsonTokenizer(Parts parts) : parts_(std::move(parts)) {}

  bool encode(std::string_view text, size_t enough, bool special,
              std::vector<int32_t>& ids) const override;
  std::string decode(const std::vector<int32_t>& ids) const override;
  int64_t prefix_bytes(std::string_view text, size_t n_ids, bool special) const override;
  int64_t vocab_size() const override { return model_size(); }
  int32_t highest_added() const override { return parts_.added->highest(); }
  void allow_special_tokens() override { parts_.added->allow_special(); }
  int32_t model_size() const {
    return parts_.model->vocabulary().size();
  }  ///< without added tokens
  /// The text of an id, or nullptr.
  const std::string* token(int32_t id) const;

 private:
  /// What the model is given next, and where it comes from.
  struct Step {
    int32_t added = -1;  ///< an added token
    const Piece* piece = nullptr;
    /// What follows an added token in the text, or in its normalized form.
    std::string_view rest;
    /// Text without added tokens (before normalization), and that text normalized.
    std::string_view raw, normal;
  };
  using StepSink = std::function<bool(const Step&)>;
  /// Hands on added tokens and pieces in order. @return false when the sink did
  bool visit(std::string_view text, bool special, const StepSink& sink) const;
  /// @param begin  where `raw` begins in the text
  bool visit_raw(size_t begin, std::string_view raw, bool special, const StepSink& sink) const;
  /// Where in the text that comes from which begins at `rest`, in the text or its normalized form.
  size_t origin(std::string_view text, const Step& step, std::string_view rest) const;

  Parts parts_;
  mutable ScratchPool scratch_;
};

}  // namespace regroup
