#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "regroup/base/strict_json.h"

namespace regroup::chat {

struct MacroNode;

/// What an expression of a chat template gives: data as of JSON, a namespace(), a function or macro, or nothing that is
/// defined.
struct Value {
  using Members = std::map<std::string, Value>;

  Value() = default;
  Value(Json json)  // NOLINT: data is a value
      : kind(Kind::kData), data_(std::make_shared<const Json>(std::move(json))) {}
  /// A part of `whole`, which lives on with it.
  static Value part(const Value& whole, const Json& part);

  static Value function(std::string name);
  static Value macro(const MacroNode& node);
  static Value make_namespace();

  bool defined() const { return kind != Kind::kUndefined; }
  bool is_data() const { return kind == Kind::kData; }
  bool is_string() const { return is_data() && data().is_string(); }
  bool is_none() const { return is_data() && data().is_null(); }
  /// As Python: false, None, 0, "" and empty lists are false, and what is not defined.
  bool truth() const;
  const std::string& text() const { return data().get_ref<const std::string&>(); }
  const Json& data() const { return *data_; }

  enum class Kind : uint8_t { kUndefined, kData, kNamespace, kFunction, kMacro };

  Kind kind = Kind::kUndefined;
  std::string name;                  ///< of a function, or of what is not defined
  const MacroNode* node = nullptr;   ///< of a macro
  std::shared_ptr<Members> members;  ///< of a namespace, shared by its copies

 private:
  std::shared_ptr<const Json> data_;  ///< shared by its copies
};

/// str() of Python: what {{ }} prints.
std::string printed(const Value& value);
/// repr() of Python.
std::string represented(const Json& json);
/// json.dumps(json, ensure_ascii=False) of Python; with `indent` >= 0 over several lines.
std::string dumped(const Json& json, int indent, int depth = 0);

/// Whether Python finds them equal: the order of a dict's keys does not count.
bool equal(const Json& a, const Json& b);

/// Where the characters of a UTF-8 text begin, and its end.
std::vector<size_t> character_starts(const std::string& text);
/// Python's str.strip() and its halves: of white space, or of the characters of `of`.
std::string stripped(std::string_view text, bool left, bool right,
                     const std::optional<std::string>& of = std::nullopt);

}  // namespace regroup::chat
