#include "vocabulary.h"

#include <fmt/format.h>

#include "part_errors.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

constexpr size_t kMaxTokenBytes = 64 << 10;
constexpr int64_t kHighestId = (1 << 24) - 1;  // the list of tokens is as long

}  // namespace

void Vocabulary::add(const std::string& token, int64_t id, const std::string& path) {
  if (id < 0 || id > kHighestId) {
    wrong_part(path, "TOK_ID_RANGE",
               fmt::format("token ids must lie in 0..{}, found {} for \"{}\"", kHighestId, id,
                           printable(token, 40)));
  }
  require_token_length(token, id, path);
  const auto at = static_cast<size_t>(id);
  if (at >= tokens_.size()) tokens_.resize(at + 1, nullptr);
  const auto [entry, fresh] = ids_.try_emplace(token, static_cast<int32_t>(id));
  if (!fresh || tokens_[at] != nullptr) {
    wrong_part(
        path, "TOK_DUPLICATE",
        fmt::format("each token must have an id of its own, found \"{}\" and \"{}\" for id {}",
                    printable(token, 40),
                    tokens_[at] == nullptr ? printable(token, 40) : printable(*tokens_[at], 40),
                    id));
  }
  tokens_[at] = &entry->first;
}

int32_t Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? -1 : found->second;
}

const std::string* Vocabulary::token(int32_t id) const {
  return id >= 0 && id < size() ? tokens_[static_cast<size_t>(id)] : nullptr;
}

void require_token_length(std::string_view token, int64_t id, const std::string& path) {
  if (token.size() <= kMaxTokenBytes) return;
  wrong_part(path, "TOK_TOKEN_LENGTH",
             fmt::format("a token must have at most {} bytes, found {} for id {}", kMaxTokenBytes,
                         token.size(), id));
}

std::vector<int32_t> byte_tokens(const Vocabulary& vocabulary) {
  std::vector<int32_t> ids;
  for (int byte = 0; byte < 256; ++byte)
    ids.push_back(vocabulary.find(fmt::format("<0x{:02X}>", byte)));
  return ids;
}

}  // namespace regroup
