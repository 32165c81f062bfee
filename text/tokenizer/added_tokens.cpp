#include "added_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "part_errors.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "unicode_tables.h"
#include "utf8.h"

namespace regroup {
namespace {

constexpr size_t kMaxAdded = 100'000;
constexpr size_t kMaxAddedBytes = 4 << 20;  // the trees take 16 for each

size_t character_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

/// Where the white space that ends at `end` begins, not before `least`.
size_t white_space_begin(std::string_view text, size_t min, size_t end) {
  while (end > min) {
    const size_t at = character_before(text, end);
    if (!is_white_space(character_at(text, at))) break;
    end = at;
  }
  return std::max(end, min);
}

size_t white_space_end(std::string_view text, size_t at) {
  while (at < text.size() && is_white_space(character_at(text, at)))
    at += character_bytes(static_cast<unsigned char>(text[at]));
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Vocabulary& vocabulary,
                         const Normalizer& normalizer, const std::string& path)
    : tokens_(std::move(tokens)), path_(path) {
  if (tokens_.size() > kMaxAdded) {
    wrong_part(
        path, "LIMIT_ADDED_TOKENS",
        fmt::format("must have at most {} added tokens, found {}", kMaxAdded, tokens_.size()));
  }
  give_ids(vocabulary, path);
  size_t bytes = 0;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    const std::string text = token.normalized ? normalizer.apply(token.text) : token.text;
    if (!token.special) highest_ = std::max(highest_.load(), token.id);
    if (text.empty()) continue;
    require_token_length(text, token.id, path);
    require_added_bytes(bytes += text.size(), path);
    Searched& searched = token.normalized ? after_ : before_;
    searched.tree.add(text, static_cast<int32_t>(i));
    searched.starts[static_cast<unsigned char>(text[0])] = true;
    (token.special ? searched.special : searched.wanted) = true;
  }
}

void AddedTokens::allow_special() {
  for (const AddedToken& token : tokens_) {
    require_parts(token);
    highest_ = std::max(highest_.load(), token.id);
  }
}

void AddedTokens::require_parts(const AddedToken& token) const {
  if (!token.single_word) return;
  refuse_part(path_,
              fmt::format("the added token \"{}\" is found in texts as a word alone (single_word)",
                          printable(token.text, 40)));
}

void AddedTokens::tell_special(const AddedToken& token) const {
  if (told_.exchange(true)) return;
  notice(
      fmt::format("{}: a text holds \"{}\", the text of a special token, which is read as plain "
                  "text; give `parse-special-tokens` to read it as the token",
                  printable(path_), printable(token.text, 40)));
}

void AddedTokens::give_ids(const Vocabulary& vocabulary, const std::string& path) {
  const auto first = static_cast<int32_t>(vocabulary.count());
  int32_t highest = -1;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    const auto twice = by_text_.find(token.text);
    int32_t id = twice != by_text_.end() ? twice->second : vocabulary.find(token.text);
    if (id < 0) id = highest >= first ? highest + 1 : first;
    if (token.text.empty() || (token.id >= 0 && token.id != id)) {
      wrong_part(path, "TOK_ADDED",
                 fmt::format("the added token \"{}\" must have a text and the id {}, found {}",
                             printable(token.text, 40), id, token.id));
    }
    if (!token.special) require_parts(token);
    token.id = id;
    highest = std::max(highest, id);
    by_id_[id] = i;
    by_text_[token.text] = id;
  }
}

bool AddedTokens::visit(std::string_view text, bool normalized, bool special,
                        const Sink& sink) const {
  const Searched& searched = normalized ? after_ : before_;
  const bool looks = searched.wanted || (searched.special && (special || !told_));
  if (!looks) return text.empty() || sink({.text = text});
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    if (!searched.starts[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    size_t length = 0;
    int32_t index = -1;
    searched.tree.visit_prefixes(text.substr(at), [&](size_t n, int32_t i) {
      length = n;
      index = i;
    });
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    const size_t match_end = at + length;
    if (token.special && !special) {  // its text stays text, and hides what begins in it
      tell_special(token);
      at = match_end;
      continue;
    }
    const size_t begin = token.takes_left ? white_space_begin(text, done, at) : at;
    const size_t end = token.takes_right ? white_space_end(text, match_end) : match_end;
    if (begin > done && !sink({.text = text.substr(done, begin - done)})) return false;
    if (!sink({.text = text.substr(begin, end - begin), .id = token.id})) return false;
    done = end;
    at = match_end;
  }
  return done >= text.size() || sink({.text = text.substr(done)});
}

const std::string* AddedTokens::token(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second].text;
}

int32_t AddedTokens::find(std::string_view text) const {
  const auto found = by_text_.find(std::string(text));
  return found == by_text_.end() ? -1 : found->second;
}

void require_added_bytes(size_t bytes, const std::string& path) {
  if (bytes <= kMaxAddedBytes) return;
  wrong_part(
      path, "LIMIT_ADDED_TOKENS",
      fmt::format("added tokens must have at most {} bytes together, found more", kMaxAddedBytes));
}

}  // namespace regroup
