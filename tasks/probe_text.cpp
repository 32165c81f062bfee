#include "regroup/tasks/probe_text.h"

#include <algorithm>
#include <filesystem>
#include <span>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"

namespace regroup {
namespace {

constexpr size_t kMostTextBytes = size_t{8} << 20;  // more than a million tokens of context hold
constexpr int kMostWords = 60;
constexpr size_t kLongestWord = 1200;
constexpr std::string_view kSpaces = " \t\n\v\f\r";

constexpr std::string_view kEnds[] = {".", "!", "?", "\u2026", "\u3002", "\uFF01", "\uFF1F"};
constexpr std::string_view kClosing[] = {"\"", "'", ")", "]", "\u201D", "\u2019", "\u00BB"};

/// Bytes of the mark at the end of `word`; 0 where there is none of them.
size_t mark_size(std::string_view word, std::span<const std::string_view> marks) {
  const auto found = std::find_if(marks.begin(), marks.end(),
                                  [&](std::string_view mark) { return word.ends_with(mark); });
  return found == marks.end() ? 0 : found->size();
}

bool ends_sentence(std::string_view word) {
  while (const size_t size = mark_size(word, kClosing)) word.remove_suffix(size);
  return mark_size(word, kEnds) > 0;
}

/// At most `most` bytes, of whole characters.
std::string_view start_of(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

/// Where the word at the start of `text` ends: at white space, behind an ideographic mark, or where it is too long.
size_t word_size(std::string_view text) {
  text = start_of(text, kLongestWord);  // no look beyond it, whatever is there
  size_t size = std::min(text.find_first_of(kSpaces), text.size());
  for (const std::string_view mark : std::span(kEnds).last(3)) {
    const size_t found = text.substr(0, size).find(mark);
    if (found != std::string_view::npos) size = found + mark.size();
  }
  return size;
}

std::string_view without_space(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kSpaces), text.size()));
}

}  // namespace

std::vector<std::string> split_sentences(std::string_view text) {
  std::vector<std::string> sentences;
  std::string sentence;
  int words = 0;
  for (text = without_space(text); !text.empty();) {
    const std::string_view word = text.substr(0, word_size(text));
    text = without_space(text.substr(word.size()));
    if (words > 0) sentence += ' ';
    sentence += word;
    ++words;
    const bool goes_on = !text.empty() && text.front() >= 'a' && text.front() <= 'z';
    if ((ends_sentence(word) && !goes_on) || words == kMostWords ||
        word.size() >= kLongestWord - 3) {
      sentences.push_back(std::move(sentence));
      sentence.clear();
      words = 0;
    }
  }
  if (words > 0) sentences.push_back(std::move(sentence));
  return sentences;
}

ProbeText read_probe_text(const std::string& path, const DocumentOptions& options) {
  ProbeText text{
      .name = std::filesystem::path(path).filename().string(), .digest = {}, .sentences = {}};
  size_t bytes = 0;
  read_documents_while(path, options, [&](const Document& document) {
    if (document.is_chat) {
      throw CheckpointError({.code = "TEXT_FIELD",
                             .message = "`probe-text` must hold texts, found a conversation",
                             .path = document.where,
                             .hint = "name the key that holds a text with `field`"});
    }
    const std::string_view taken = start_of(document.text, kMostTextBytes - bytes);
    bytes += document.text.size();
    for (std::string& sentence : split_sentences(taken)) {
      text.sentences.push_back(std::move(sentence));
    }
    return bytes < kMostTextBytes;
  });
  Xxh3 hash;
  for (const std::string& sentence : text.sentences) {
    hash.update(std::as_bytes(std::span(sentence.data(), sentence.size())));
  }
  text.digest = hash.hex();
  return text;
}

}  // namespace regroup
