#include "regroup/base/strict_json.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/input_file.h"
#include "regroup/base/placeholder.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"

namespace regroup {
namespace {

constexpr const char* kCorrect = "correct the file, or fetch it again";

/// Builds a document without recursion and refuses what nlohmann's own builder lets pass:
/// duplicate keys and unbounded depth.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(const std::string& path, std::string_view text, int depth)
      : path_(path), text_(text), max_depth_(static_cast<size_t>(depth)) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(v); }
  bool number_unsigned(number_unsigned_t v) override { return add(v); }
  bool number_float(number_float_t v, const string_t& spelling) override {
    if (!std::isfinite(v)) fail("JSON_NUMBER", fmt::format("the number {} has no value", spelling));
    return add(v);
  }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      fail("JSON_DUPLICATE_KEY", fmt::format("key \"{}\" appears twice", printable(name)));
    }
    pending_key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const std::string_view before = text_.substr(0, position > 0 ? position - 1 : 0);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto column = before.size() - (before.rfind('\n') + 1) + 1;
    // "[json.exception.parse_error.101] parse error at line 2, column 1: syntax error ...": where it
    // is has been said.
    std::string what = error.what();
    what.erase(0, what.find("] ") + 2);
    if (what.starts_with("parse error at ")) what.erase(0, what.find(": ") + 2);
    fail("JSON_SYNTAX",
         fmt::format("not valid JSON at line {}, column {}: {}", line, column, printable(what)));
  }

 private:
  [[noreturn]] void fail(const char* code, const std::string& message) const {
    throw CheckpointError({.code = code, .message = message, .path = path_, .hint = kCorrect});
  }
  Json* place(Json&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) return &open_.back()->emplace_back(std::move(value));
    // Not operator[]: it searches the keys one by one, and key() has made sure that this one is new.
    auto& members = open_.back()->get_ref<Json::object_t&>();
    members.emplace_back(std::move(pending_key_), std::move(value));
    return &members.back().second;
  }
  bool add(Json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Json&& container) {
    if (open_.size() == max_depth_) {
      fail("JSON_DEPTH", fmt::format("nesting must stay within {} levels", max_depth_));
    }
    Json* placed = place(std::move(container));
    open_.push_back(placed);
    keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  const std::string& path_;
  std::string_view text_;
  size_t max_depth_;
  Json root_;
  std::vector<Json*> open_;  // stable: a child is added only to the innermost open container
  std::vector<std::unordered_set<std::string>> keys_;
  std::string pending_key_;
};

[[noreturn]] void wrong(const std::string& path, const char* code, const char* key,
                        const std::string& rule, const Json& found) {
  throw CheckpointError(
      {.code = code,
       .message = fmt::format("\"{}\" must be {}, found {}", key, rule, printable(found.dump())),
       .path = path,
       .hint = kCorrect});
}

}  // namespace

Json parse_strict_json(std::string_view text, const std::string& path, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.bytes) {
    throw CheckpointError(
        {.code = "LIMIT_FILE_SIZE",
         .message = fmt::format("must have at most {} bytes, found {}", limits.bytes, text.size()),
         .path = path,
         .hint = kCorrect});
  }
  if (const auto kind = kind_by_start(text.substr(0, 32)); kind && !text.starts_with('{')) {
    throw CheckpointError({.code = "JSON_SYNTAX",
                           .message = fmt::format("must be JSON, found {}", kind->what),
                           .path = path,
                           .hint = std::string(kind->hint)});
  }
  if (!is_utf8(text)) {
    throw CheckpointError(
        {.code = "JSON_UTF8", .message = "must be valid UTF-8", .path = path, .hint = kCorrect});
  }
  // nlohmann skips a byte order mark and takes NUL for the end of the text; JSON allows neither.
  const size_t nul = text.find('\0');
  if (text.starts_with("\xEF\xBB\xBF") || nul != std::string_view::npos) {
    throw CheckpointError({.code = "JSON_SYNTAX",
                           .message = nul == std::string_view::npos
                                          ? "must not begin with a byte order mark"
                                          : fmt::format("NUL character at byte {}", nul),
                           .path = path,
                           .hint = kCorrect});
  }
  StrictBuilder builder(path, text, limits.depth);
  Json::sax_parse(text, &builder);
  return builder.take();
}

Json read_strict_json(const std::string& path, const JsonLimits& limits) {
  const InputFile file(path);
  if (file.size() > limits.bytes) {
    throw CheckpointError(
        {.code = "LIMIT_FILE_SIZE",
         .message = fmt::format("must have at most {} bytes, found {}", limits.bytes, file.size()),
         .path = path,
         .hint = kCorrect});
  }
  const std::string text = file.read_all();
  if (const auto found = find_placeholder(text)) {
    throw CheckpointError({.code = "JSON_SYNTAX",
                           .message = fmt::format("must be JSON, but this is {}", found->what),
                           .path = path,
                           .hint = found->hint});
  }
  return parse_strict_json(text, path, limits);
}

bool JsonFields::has(const char* key) const { return object_.contains(key); }

const Json* JsonFields::find(const char* key) const {
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

std::optional<int64_t> JsonFields::integer(const char* key, int64_t min, int64_t max) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string rule = fmt::format("an integer from {} to {}", min, max);
  // get<int64_t>() of an unsigned above 2^63 wraps silently.
  const bool fits = value->is_number_unsigned()
                        ? value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                        : value->is_number_integer();
  if (!fits) wrong(path_, value->is_number() ? "CFG_RANGE" : "CFG_TYPE", key, rule, *value);
  const auto number = value->get<int64_t>();
  if (number < min || number > max) wrong(path_, "CFG_RANGE", key, rule, *value);
  return number;
}

std::optional<double> JsonFields::number(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong(path_, "CFG_TYPE", key, "a number", *value);
  return value->get<double>();
}

std::optional<double> JsonFields::positive(const char* key) const {
  const auto value = number(key);
  if (value && !(*value > 0)) wrong(path_, "CFG_RANGE", key, "above 0", *find(key));
  return value;
}

std::optional<bool> JsonFields::boolean(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong(path_, "CFG_TYPE", key, "true or false", *value);
  return value->get<bool>();
}

std::optional<std::string> JsonFields::string(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong(path_, "CFG_TYPE", key, "a string", *value);
  return value->get<std::string>();
}

}  // namespace regroup
