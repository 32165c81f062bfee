#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "regroup/text/documents.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// Which special tokens stand around documents. A chat template writes its own around a conversation.
struct DocumentEnds {
  bool bos = false;
  bool eos = false;
  bool chat_bos = false;
  bool chat_eos = false;

  /// What the tokenizer itself does.
  static DocumentEnds of(const Tokenizer& tokenizer) {
    return {.bos = tokenizer.adds_bos(), .eos = tokenizer.adds_eos()};
  }
};

struct EncodedDocument {
  std::vector<int32_t> ids;
  int64_t bytes = 0;  ///< UTF-8, of the text, or of the conversation as it was written down
  bool is_chat = false;
  double read = 0;  ///< share of the file that was read when this document was, in [0, 1]
};

/// Encodes the documents of a text file on `threads` threads, from 1 on, while the calling thread reads. `visit` is called there
/// with every document, in order; with any number of threads it is given the same, and the same error ends it.
/// Memory holds 64 MiB of text and its ids, or the longest document twice.
/// @return how many documents there were
/// @throws as read_documents, Tokenizer::text_of and Tokenizer::encode
int64_t encode_documents(const std::string& path, const Tokenizer& tokenizer,
                         const DocumentOptions& options, const DocumentEnds& ends, int threads,
                         const std::function<void(const EncodedDocument&)>& visit);

}  // namespace regroup
