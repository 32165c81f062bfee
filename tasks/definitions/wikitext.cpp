// WikiText-2 (arXiv:1609.07843), page by page: losses of the text as people write it, by words and bytes of the text as the
// corpus has it.
#include <nlohmann/json.hpp>

#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

constexpr auto kMeasures = std::to_array<Measure>(
    {Measure::kWordPerplexity, Measure::kBytePerplexity, Measure::kBitsPerByte});

/// "( a )" -> "(a)": without white space beside the marks of a pair.
std::string tightened(std::string_view text, char open, char close) {
  std::string out;
  for (;;) {
    const size_t begin = text.find(open);
    const size_t end = begin == std::string_view::npos ? begin : text.find(close, begin + 1);
    if (end == std::string_view::npos) return out + std::string(text);
    out += text.substr(0, begin + 1);
    out += python_strip(text.substr(begin + 1, end - begin - 1));
    out += close;
    text.remove_prefix(end + 1);
  }
}

/// "/' 5/" becomes what stands there, digits and all: lm-evaluation-harness replaces by a pattern.
std::string with_slashed_digit(std::string text) {
  for (size_t at = text.find("/' "); at != std::string::npos; at = text.find("/' ", at + 1)) {
    const bool digit = at + 4 < text.size() && text[at + 3] >= '0' && text[at + 3] <= '9';
    if (digit && text[at + 4] == '/') text.replace(at, 5, "/'[0-9]/");
  }
  return text;
}

std::string detokenized(const std::string& page) {
  std::string text = with_slashed_digit(python_replace(page, "s '", "s'"));
  for (const auto& [from, to] : {std::pair{" @-@ ", "-"},
                                 {" @,@ ", ","},
                                 {" @.@ ", "."},
                                 {" : ", ": "},
                                 {" ; ", "; "},
                                 {" . ", ". "},
                                 {" ! ", "! "},
                                 {" ? ", "? "},
                                 {" , ", ", "}}) {
    text = python_replace(text, from, to);
  }
  for (const auto& [open, close] :
       {std::pair{'(', ')'}, {'[', ']'}, {'{', '}'}, {'"', '"'}, {'\'', '\''}}) {
    text = tightened(text, open, close);
  }
  for (const auto& [from, to] : {std::pair{"= = = =", "===="},
                                 {"= = =", "==="},
                                 {"= =", "=="},
                                 {" \xC2\xB0 ", "\xC2\xB0"},
                                 {" \n", "\n"},
                                 {"\n ", "\n"},
                                 {" N ", " 1 "},
                                 {" 's", "'s"}}) {
    text = python_replace(text, from, to);
  }
  return text;
}

TaskQuestion question(const TaskRecord& document) {
  const std::string page = document.text("page");
  return {.contexts = {""}, .choices = {detokenized(page)}, .gold = {}, .counted = page};
}

/// A line " = Title = ", but not " = = Section = = ", begins a page.
bool begins_page(std::string_view line) {
  const std::string marks =
      python_replace(python_replace(python_strip(line), "= = =", "==="), "= =", "==");
  return marks.starts_with("= ") && marks.ends_with(" =");
}

std::vector<Json> pages_of(const std::string& text) {
  std::vector<std::string> pages(1);
  bool first_line = true;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (begins_page(line)) {
      pages.emplace_back();
      first_line = true;
    }
    if (!first_line) pages.back() += '\n';
    pages.back() += line;
    first_line = false;
    at = end + 1;
  }
  std::vector<Json> documents;
  for (const std::string& page : pages) {
    if (!python_strip(page).empty()) documents.push_back({{"page", page}});
  }
  return documents;
}

}  // namespace

const TaskDefinition tasks::wikitext{.name = "wikitext",
                                     .version = 2.0,
                                     .kind = TaskKind::kRolling,
                                     .measures = kMeasures,
                                     .fixed_shots = true,
                                     .question = question,
                                     .split_text = pages_of};

}  // namespace regroup
