#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regex.h"
#include "regroup/base/strict_json.h"

namespace regroup {

/// What a part searches for: a string, or a regular expression.
class TextPattern {
 public:
  explicit TextPattern(std::string text) : text_(std::move(text)) {}
  explicit TextPattern(Regex regex) : regex_(std::move(regex)) {}
  std::optional<ByteRange> find(std::string_view text, size_t from) const;

 private:
  std::string text_;
  std::optional<Regex> regex_;
};

/// One part of a pipeline of tokenizer.json: an object whose "type" says which. Errors name the pipeline and the part.
class Part {
 public:
  Part(const Json& object, std::string role, const std::string& path);
  const std::string& type() const { return type_; }
  const std::string& path() const { return path_; }
  const std::string& role() const { return role_; }
  /// The value, or nullptr when absent or null.
  const Json* find(const char* key) const;
  std::string string(const char* key) const;
  bool boolean(const char* key) const;
  bool boolean(const char* key, bool otherwise) const;
  int64_t count(const char* key) const;
  TextPattern pattern(const char* key) const;
  /// A part that regroup does not carry out. @throws UnsupportedError TOK_UNSUPPORTED
  [[noreturn]] void refuse() const;
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  [[noreturn]] void wrong(const char* key, const std::string& rule) const;
  const Json* object_;
  std::string role_;
  std::string type_;
  std::string path_;
};

/// The parts of a pipeline in order, sequences taken apart.
/// @param list  the key that a Sequence has its parts in
std::vector<Part> parts_of(const Json* root, const char* role, const char* list,
                           const std::string& path);

}  // namespace regroup
