#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace regroup::demo {

/// Trains a SentencePiece BPE tokenizer on a corpus: byte fallback, no normalisation, <unk> <s> </s>
/// as ids 0 1 2, as LLaMA's. One thread, so that the same corpus gives the same bytes.
/// @return the file tokenizer.model
/// @throws ConfigError  --vocab-size must fit what the corpus offers
std::string train_tokenizer(std::string_view corpus, int64_t vocab_size);

}  // namespace regroup::demo
