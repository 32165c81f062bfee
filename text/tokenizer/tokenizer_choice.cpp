#include "tokenizer_choice.h"

#include <fmt/format.h>

#include "gpt2_files.h"
#include "regroup/base/error.h"
#include "regroup/base/notice.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "sentencepiece_tokenizer.h"
#include "tokenizer_json.h"

namespace regroup {
namespace {

/// True if every piece of tokenizer.model has its id in tokenizer.json.
bool same_pieces(const JsonTokenizer& json, const SentencePieceTokenizer& pieces) {
  if (pieces.vocab_size() != json.model_size()) return false;
  for (int32_t id = 0; id < pieces.vocab_size(); ++id) {
    const std::string* token = json.token(id);
    if (token == nullptr || *token != pieces.piece(id)) return false;
  }
  return true;
}

void tell_if_they_differ(const std::string& folder, const JsonTokenizer& json) {
  std::string why = "their vocabularies differ";
  try {
    if (same_pieces(json, *SentencePieceTokenizer::open(folder))) return;
  } catch (const Error&) {
    why = "the latter cannot be read";
  }
  notice(fmt::format("{}: tokenizer.json is used and not tokenizer.model, as transformers does; {}",
                     printable(folder), why));
}

}  // namespace

std::unique_ptr<Tokenizer::Kind> choose_tokenizer(const std::string& folder) {
  const bool both = path_exists(folder + "/tokenizer.model");
  if (!path_exists(folder + "/tokenizer.json")) {
    if (!both && has_gpt2_files(folder)) return read_tokenizer_json(folder);
    return SentencePieceTokenizer::open(folder);
  }
  try {
    auto json = read_tokenizer_json(folder);
    if (both) tell_if_they_differ(folder, *json);
    return json;
  } catch (const UnsupportedError& error) {
    if (!both) throw;
    notice(fmt::format("{}: tokenizer.model is used, since {} of tokenizer.json", printable(folder),
                       error.what()));
    return SentencePieceTokenizer::open(folder);
  }
}

}  // namespace regroup
