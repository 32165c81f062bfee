#include "regroup/text/token_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "regroup/base/error.h"
#include "regroup/text/text_source.h"

namespace regroup {

TokenStream read_text_stream(const std::string& path, const Tokenizer& tokenizer,
                             const DocumentOptions& options, int64_t max_tokens) {
  TokenStream stream{.name = stream_name(path), .ids = {}, .bytes = 0, .words = 0, .path = path};
  read_documents_while(path, options, [&](const Document& document) {
    std::string written;
    const std::string_view text = tokenizer.text_of(document, written);
    const size_t room =
        max_tokens > 0 ? static_cast<size_t>(max_tokens) - stream.ids.size() : SIZE_MAX - 1;
    // One more than fits tells whether the document is cut.
    const std::vector<int32_t> ids = tokenizer.encode_front(document, text, room + 1);
    const size_t kept = std::min(ids.size(), room);
    stream.ids.insert(stream.ids.end(), ids.begin(), ids.begin() + static_cast<long>(kept));
    const bool cut = kept < ids.size();
    const auto bytes =
        cut ? static_cast<size_t>(tokenizer.prefix_bytes(document, text, kept)) : text.size();
    *stream.bytes += static_cast<int64_t>(bytes);
    // A document cut right behind its BOS gives no text, not an empty one.
    if (bytes > 0) *stream.words += count_words(text.substr(0, bytes));
    return !cut && static_cast<int64_t>(stream.ids.size()) != max_tokens;
  });
  return stream;
}

TokenStream read_token_stream(const std::string& path, TokenFormat format, int64_t vocab_size,
                              int64_t max_tokens) {
  const TokenFile file(path, format);
  const int64_t n = max_tokens > 0 ? std::min(max_tokens, file.size()) : file.size();
  TokenStream stream{.name = stream_name(path), .ids = {}, .bytes = {}, .words = {}, .path = path};
  stream.ids.resize(static_cast<size_t>(n));
  file.read(0, stream.ids, vocab_size);
  return stream;
}

void require_window(const TokenStream& stream) {
  if (stream.ids.size() >= 2) return;
  throw CheckpointError(
      {.code = "TEXT_TOO_SHORT",
       .message = fmt::format("a text must have at least 2 tokens, one to predict "
                              "from one before it, found {}",
                              stream.ids.size()),
       .path = stream.path,
       .hint = "give more text"});
}

std::string stream_name(const std::string& path) {
  return std::filesystem::path(without_compression(path)).stem().string();
}

}  // namespace regroup
