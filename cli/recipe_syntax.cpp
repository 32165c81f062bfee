#include "recipe_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "recipe_place.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr const char* kSyntaxHint =
    "a recipe is TOML: [section], key = value, text in quotes; see recipes/";
// Each dot of a key makes a table inside a table, and taking such tables apart needs stack.
constexpr int64_t kMaxDots = 10'000;

/// The byte behind `columns` characters of the line that begins at `line_at`, or the line's end.
size_t offset_in_line(std::string_view text, size_t line_at, uint32_t columns) {
  size_t at = line_at;
  for (uint32_t column = 0; column < columns && at < text.size() && text[at] != '\n'; ++column) {
    at += std::max<size_t>(decode_front(text.substr(at)).length, 1);
  }
  return at;
}

/// The first byte of every line.
std::vector<size_t> line_starts(std::string_view text) {
  std::vector<size_t> starts = {0};
  for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    starts.push_back(at + 1);
  }
  return starts;
}

std::optional<toml::table> try_parse(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

/// The only name that `table` holds, through the tables inside: {"a", "b"} of a.b = 0.
std::vector<std::string> only_name(const toml::table& table) {
  std::vector<std::string> name;
  for (const toml::table* at = &table; at != nullptr && at->size() == 1;) {
    name.emplace_back(at->begin()->first.str());
    at = at->begin()->second.as_table();
  }
  return name;
}

/// The section that the text `table` was read from ends in: "" above the first.
std::string last_section(const toml::table& table) {
  std::string name;
  RecipePlace last;
  for (const auto& [key, value] : table) {
    const RecipePlace at{key.source().begin.line, key.source().begin.column};
    const RecipePlace opened{value.source().begin.line, value.source().begin.column};
    const bool header = value.is_table() && opened < at;  // the bracket stands before the name
    if (!header || at < last) continue;
    last = at;
    name = key.str();
  }
  return name;
}

std::optional<RecipePlace> find(const toml::table& table, const std::vector<std::string>& name) {
  std::optional<RecipePlace> found;
  const toml::table* at = &table;
  for (const std::string& part : name) {
    const auto it = at == nullptr ? toml::table::const_iterator{} : at->find(part);
    if (at == nullptr || it == at->end()) break;
    found = {it->first.source().begin.line, it->first.source().begin.column};
    at = it->second.as_table();
  }
  return found;
}

/// A statement that the parser refused.
struct Statement {
  std::string_view before;  ///< the lines above it
  std::string_view line;    ///< the line it begins on
  bool header;
  std::string alone;  ///< what names something: a header, or a key with any value
};

Statement statement_at(std::string_view text, const toml::source_position& place) {
  const size_t line_at = line_starts(text)[place.line - 1];
  const std::string_view line = text.substr(line_at, text.find('\n', line_at) - line_at);
  const size_t columns = offset_in_line(line, 0, place.column - 1);
  const bool header = line.substr(columns).starts_with('[') && columns == 0;
  // Of a key only the part before its value counts: what is wrong may be the value.
  return {.before = text.substr(0, line_at),
          .line = line,
          .header = header,
          .alone = header ? std::string(line) : std::string(line.substr(0, columns)) + "0"};
}

/// A statement that is right by itself and wrong behind those before it repeats a name.
void refuse_duplicate(const Statement& statement, const std::string& path, uint32_t line) {
  const auto before = try_parse(statement.before);
  const auto alone = try_parse(statement.alone);
  if (!before || !alone || try_parse(std::string(statement.before) + statement.alone)) return;
  std::vector<std::string> name = only_name(*alone);
  const std::string section = statement.header ? "" : last_section(*before);
  if (!section.empty()) name.insert(name.begin(), section);
  const auto first = find(*before, name);
  const size_t column = 1 + statement.line.find_first_not_of(statement.header ? "[ \t" : " \t");
  const std::string words =
      statement.header ? "section [" + join(name, ".") + "]" : "key " + join(name, ".");
  refuse_recipe("RECIPE_DUPLICATE", path, {line, static_cast<uint32_t>(column)},
                fmt::format("{} stands twice{}", printable(words),
                            first ? fmt::format(", first at {}", to_string(*first)) : ""),
                "keep one of the two");
}

void require_few_dots(std::string_view text, const std::string& path) {
  int64_t dots = 0;
  uint32_t line = 1;
  for (const char c : text) {
    line += c == '\n' ? 1 : 0;
    dots += c == '.' ? 1 : 0;
    if (dots <= kMaxDots) continue;
    refuse_recipe("RECIPE_SYNTAX", path, {line, 1},
                  fmt::format("a recipe must hold at most {} dots, found more", kMaxDots),
                  kSyntaxHint);
  }
}

}  // namespace

RecipeText::RecipeText(std::string_view text) : text_(text), line_starts_(line_starts(text)) {}

std::string_view RecipeText::at(const toml::source_region& region) const {
  constexpr uint32_t kFarRight = 1000;  // a list of many numbers on one line must not take long
  if (region.begin.line != region.end.line || region.end.column > kFarRight) return {};
  const size_t line_at = line_starts_[region.begin.line - 1];
  const size_t begin = offset_in_line(text_, line_at, region.begin.column - 1);
  return text_.substr(begin, offset_in_line(text_, line_at, region.end.column - 1) - begin);
}

toml::table parse_toml(std::string_view text, const std::string& path) {
  require_few_dots(text, path);
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    const toml::source_position place = error.source().begin;
    refuse_duplicate(statement_at(text, place), path, place.line);
    refuse_recipe("RECIPE_SYNTAX", path, {place.line, place.column},
                  fmt::format("must be TOML: {}", printable(error.description())), kSyntaxHint);
  }
}

}  // namespace regroup
