#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace regroup {

/// What users know of a setting: the flag --name, the key `name` of a recipe, a row of --help. A command's settings stand in
/// one function, visit_settings(options, visit), which calls `visit(setting, field)` for each, in the order of --help: the
/// command line, the check of a resumed run and the documentation are visitors.
struct Setting {
  enum class Kind {
    kPlain,     ///< what the field's type says: a text, a number, a word, a switch
    kFilePath,  ///< completed by a shell
    kFolderPath,
    kCount,      ///< 5M, 20e6; left out: the field keeps its value
    kContext,    ///< 64k is 65,536
    kSeparator,  ///< text in which \n, \r, \t and \\ are one character
    kKeys,       ///< words with commas between
  };

  const char* name;
  const char* help;
  Kind kind = Kind::kPlain;
  double min = -std::numeric_limits<double>::infinity();  ///< of a number
  double max = std::numeric_limits<double>::infinity();
  bool required = false;
  bool shows_default = true;  ///< false where --help says what leaving it out means
  bool decides = false;       ///< a run that goes on must have the same
};

/// A word that users write for a value of an enumeration.
template <typename Value>
struct Word {
  const char* name;
  Value value;
};

/// The words of an enumeration; specialised beside it, with a `static constexpr std::array all`.
template <typename Value>
struct Words;

namespace detail {
/// @throws ConfigError FLAG_VALUE: "`flag` must be a, b or c, found `text`"
[[noreturn]] void refuse_word(std::span<const char* const> names, const std::string& text,
                              const std::string& flag);
}  // namespace detail

/// The names of all words of an enumeration, in order.
template <typename Value>
constexpr auto word_names() {
  std::array<const char*, Words<Value>::all.size()> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = Words<Value>::all[i].name;
  return names;
}

/// The value of a word. @throws ConfigError FLAG_VALUE naming `flag` for another one
template <typename Value>
Value value_of(const std::string& text, const std::string& flag) {
  for (const Word<Value>& word : Words<Value>::all) {
    if (text == word.name) return word.value;
  }
  detail::refuse_word(word_names<Value>(), text, flag);
}

template <typename Value>
const char* name_of(Value value) {
  for (const Word<Value>& word : Words<Value>::all) {
    if (value == word.value) return word.name;
  }
  return "";
}

}  // namespace regroup
