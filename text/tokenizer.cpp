#include "regroup/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "regroup/base/error.h"
#include "regroup/base/path.h"
#include "tokenizer/gpt2_files.h"
#include "tokenizer/tokenizer_choice.h"
#include "tokenizer/tokenizer_kind.h"

namespace regroup {

Tokenizer::Tokenizer(std::unique_ptr<Kind> kind) : kind_(std::move(kind)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::string& folder) { return Tokenizer(choose_tokenizer(folder)); }

bool Tokenizer::is_in(const std::string& folder) {
  return path_exists(folder + "/tokenizer.json") || path_exists(folder + "/tokenizer.model") ||
         has_gpt2_files(folder);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  return encode(text, adds_bos(), adds_eos());
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_bos, bool add_eos) const {
  return encode_front(text, SIZE_MAX, add_bos, add_eos);
}

std::vector<int32_t> Tokenizer::encode_front(std::string_view text, size_t enough) const {
  return encode_front(text, enough, adds_bos(), adds_eos());
}

std::vector<int32_t> Tokenizer::encode_front(std::string_view text, size_t enough, bool add_bos,
                                             bool add_eos) const {
  std::vector<int32_t> ids;
  if (add_bos && bos_id() >= 0) ids.push_back(bos_id());
  const bool whole = kind_->encode(text, enough, ids);
  if (whole && add_eos && eos_id() >= 0) ids.push_back(eos_id());
  return ids;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  for (const int32_t id : ids) {
    if (id >= 0) continue;
    throw CheckpointError({.code = "TOK_ID_RANGE",
                           .message = fmt::format("token ids must not be negative, found {}", id)});
  }
  return kind_->decode(ids);
}

int64_t Tokenizer::prefix_bytes(std::string_view text, size_t n_ids) const {
  const size_t n_special = adds_bos() && bos_id() >= 0 ? 1 : 0;
  return n_ids <= n_special ? 0 : kind_->prefix_bytes(text, n_ids - n_special);
}

int64_t Tokenizer::vocab_size() const { return kind_->vocab_size(); }
bool Tokenizer::adds_bos() const { return kind_->ends.add_bos; }
bool Tokenizer::adds_eos() const { return kind_->ends.add_eos; }
int32_t Tokenizer::bos_id() const { return kind_->ends.bos; }
int32_t Tokenizer::eos_id() const { return kind_->ends.eos; }
const std::string& Tokenizer::digest() const { return kind_->digest; }

void require_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& path,
                        bool with_eos) {
  const int32_t bos = tokenizer.adds_bos() ? tokenizer.bos_id() : -1;
  const int32_t eos = with_eos || tokenizer.adds_eos() ? tokenizer.eos_id() : -1;
  const int32_t highest = std::max(bos, eos);
  if (tokenizer.vocab_size() <= vocab_size && highest < vocab_size) return;
  if (tokenizer.vocab_size() <= vocab_size) {
    throw CheckpointError(
        {.code = "TOK_VOCAB_MISMATCH",
         .message =
             fmt::format("the tokenizer begins or ends texts with the id {}, the model has only {} "
                         "embedding rows",
                         highest, vocab_size),
         .path = path,
         .hint = "tokenizer_config.json or added_tokens.json belongs to another model"});
  }
  throw CheckpointError(
      {.code = "TOK_VOCAB_MISMATCH",
       .message = fmt::format("the tokenizer has {} pieces, the model only {} embedding rows",
                              tokenizer.vocab_size(), vocab_size),
       .path = path,
       .hint = "the tokenizer belongs to another model"});
}

}  // namespace regroup
