#include "demo/tokenizer_training.h"

#include <fmt/format.h>
#include <sentencepiece_trainer.h>

#include "demo/grammar.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup::demo {
namespace {

/// The documents of a corpus, one by one.
class DocumentIterator : public sentencepiece::SentenceIterator {
 public:
  explicit DocumentIterator(std::string_view corpus) : rest_(corpus) { Next(); }

  bool done() const override { return done_; }
  void Next() override {
    const size_t stop = rest_.find(kSeparator);
    done_ = stop == std::string_view::npos;
    if (done_) return;
    document_ = rest_.substr(0, stop);
    rest_.remove_prefix(stop + kSeparator.size());
  }
  const std::string& value() const override { return document_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::string_view rest_;
  std::string document_;
  bool done_ = false;
};

/// SentencePiece's reason without the source line and condition that stand before it.
std::string reason(const sentencepiece::util::Status& status) {
  const std::string text = status.ToString();
  const size_t start = text.rfind("] ");
  const std::string why = start == std::string::npos ? text : text.substr(start + 2);
  return printable(why.substr(0, why.find(". ")), 100);
}

}  // namespace

std::string train_tokenizer(std::string_view corpus, int64_t vocab_size) {
  if (vocab_size < 1) {
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("--vocab-size must be positive, found {}", vocab_size)});
  }
  DocumentIterator documents(corpus);
  std::string model;
  const auto status =
      sentencepiece::SentencePieceTrainer::Train({{"model_type", "bpe"},
                                                  {"vocab_size", fmt::format("{}", vocab_size)},
                                                  {"byte_fallback", "true"},
                                                  {"character_coverage", "1.0"},
                                                  {"normalization_rule_name", "identity"},
                                                  {"remove_extra_whitespaces", "false"},
                                                  {"unk_id", "0"},
                                                  {"bos_id", "1"},
                                                  {"eos_id", "2"},
                                                  {"num_threads", "1"},
                                                  {"minloglevel", "9"}},
                                                 &documents, &model);
  if (status.ok()) return model;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("--vocab-size must fit the corpus, found {}: {}",
                                            vocab_size, reason(status))});
}

}  // namespace regroup::demo
