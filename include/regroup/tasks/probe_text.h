#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "regroup/text/documents.h"

namespace regroup {

/// A text of the user's that needles are hidden in, as RULER (arXiv:2404.06654) hides them in essays.
struct ProbeText {
  std::string name;                    ///< of the file, without its folder
  std::string digest;                  ///< XXH3 of the sentences, in hexadecimal
  std::vector<std::string> sentences;  ///< at least one
};

/// The sentences of a text file's documents, in order, up to 8 MiB.
/// @throws as read_documents; CheckpointError TEXT_FIELD for a conversation
ProbeText read_probe_text(const std::string& path, const DocumentOptions& options);

/// A sentence ends behind a full stop, a question or an exclamation mark, with the quotes and brackets that close there,
/// unless a small letter follows ("e.g. this"); and behind 60 words, or 1,200 bytes without white space.
/// White space inside becomes one space: "One.\n Two  words! " -> {"One.", "Two words!"}.
std::vector<std::string> split_sentences(std::string_view text);

}  // namespace regroup
