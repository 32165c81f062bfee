#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace regroup {

/// Bytes of a text.
struct ByteRange {
  size_t begin;
  size_t end;
};

/// A regular expression of a tokenizer.json: PCRE2, compiled for the processor, under a limit on the steps that one match
/// may take. Any number of threads may match at once.
class Regex {
 public:
  /// @throws UnsupportedError TOK_REGEX_UNSUPPORTED
  Regex(std::string_view pattern, std::string path);
  Regex(Regex&&) noexcept;
  ~Regex();

  /// The first match that begins at `from` or later, in well-formed UTF-8.
  /// @throws CheckpointError LIMIT_REGEX: it takes too many steps, naming the byte
  std::optional<ByteRange> find(std::string_view text, size_t from) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace regroup
