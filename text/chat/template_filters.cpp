// Filters and tests of a template, with the meaning that they have in Jinja.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "regroup/base/printable.h"
#include "template_run.h"

namespace regroup::chat {
namespace {

using Test = bool (*)(const Value&);

struct NamedTest {
  std::string_view name;
  Test test;
};
constexpr auto kTests = std::to_array<NamedTest>({
    {"defined", [](const Value& v) { return v.defined(); }},
    {"undefined", [](const Value& v) { return !v.defined(); }},
    {"none", [](const Value& v) { return v.is_none(); }},
    {"string", [](const Value& v) { return v.is_string(); }},
    {"mapping", [](const Value& v) { return v.is_data() && v.data().is_object(); }},
    {"sequence",
     [](const Value& v) {
       return !v.defined() || v.is_string() || (v.is_data() && v.data().is_structured());
     }},
    {"iterable",
     [](const Value& v) {
       return !v.defined() || v.is_string() || (v.is_data() && v.data().is_structured());
     }},
    {"number",
     [](const Value& v) { return v.is_data() && (v.data().is_number() || v.data().is_boolean()); }},
    {"integer", [](const Value& v) { return v.is_data() && v.data().is_number_integer(); }},
    {"float", [](const Value& v) { return v.is_data() && v.data().is_number_float(); }},
    {"boolean", [](const Value& v) { return v.is_data() && v.data().is_boolean(); }},
    {"true", [](const Value& v) { return v.is_data() && v.data() == true; }},
    {"false", [](const Value& v) { return v.is_data() && v.data() == false; }},
    {"odd",
     [](const Value& v) {
       return v.is_data() && v.data().is_number_integer() && v.data().get<int64_t>() % 2 != 0;
     }},
    {"even",
     [](const Value& v) {
       return v.is_data() && v.data().is_number_integer() && v.data().get<int64_t>() % 2 == 0;
     }},
});

/// The operator that a test of two values is.
std::string_view operator_of(const std::string& test) {
  constexpr auto kOperators =
      std::to_array<std::pair<std::string_view, std::string_view>>({{"eq", "=="},
                                                                    {"equalto", "=="},
                                                                    {"ne", "!="},
                                                                    {"lt", "<"},
                                                                    {"lessthan", "<"},
                                                                    {"le", "<="},
                                                                    {"gt", ">"},
                                                                    {"greaterthan", ">"},
                                                                    {"ge", ">="}});
  const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                  [&](const auto& one) { return one.first == test; });
  return found == kOperators.end() ? std::string_view() : found->second;
}

/// The same place of a template under another name.
Expression renamed(const Expression& e, std::string name) {
  return {.kind = Expression::Kind::kTest, .line = e.line, .name = std::move(name)};
}

int64_t length_of(const TemplateRun& run, const Expression& e, const Value& value) {
  if (value.is_string()) return static_cast<int64_t>(character_starts(value.text()).size()) - 1;
  if (value.is_data() && value.data().is_structured())
    return static_cast<int64_t>(value.data().size());
  if (!value.defined()) return 0;
  run.refuse(e.line, "only texts, lists and dicts have a length");
}

/// value.attribute, where dots go on to members of members.
Value attribute_of(const TemplateRun& run, const Expression& e, Value value,
                   const std::string& path) {
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    value = member(run, e, value, path.substr(at, end - at));
    at = end + 1;
  }
  return value;
}

Value list_of(const TemplateRun& run, const std::vector<Value>& values) {
  Json list = Json::array();
  for (const Value& value : values) {
    if (value.is_data()) run.charge(dumped(value.data(), -1).size());
    list.push_back(value.is_data() ? value.data() : Json());
  }
  return list;
}

/// select, reject, selectattr, rejectattr
Value selected(const TemplateRun& run, const Expression& e, const Value& value,
               const Arguments& arguments) {
  const bool by_attribute = e.name.ends_with("attr");
  const bool wanted = e.name.starts_with("select");
  const std::string attribute = by_attribute ? printed(arguments.get(0, "")) : "";
  const size_t at = by_attribute ? 1 : 0;
  const Value test = arguments.get(at, "");
  const Arguments rest = arguments.from(at + 1);
  std::vector<Value> kept;
  for (const Value& one : elements(run, e.line, value)) {
    const Value looked = by_attribute ? attribute_of(run, e, one, attribute) : one;
    const bool holds =
        test.is_string() ? tested(run, renamed(e, test.text()), looked, rest) : looked.truth();
    if (holds == wanted) kept.push_back(one);
  }
  return list_of(run, kept);
}

/// map(attribute="a") and map("filter")
Value mapped(const TemplateRun& run, const Expression& e, const Value& value,
             const Arguments& arguments) {
  const Value attribute = arguments.get(SIZE_MAX, "attribute");
  std::vector<Value> out;
  for (const Value& one : elements(run, e.line, value)) {
    if (attribute.is_string()) {
      Value found = attribute_of(run, e, one, attribute.text());
      if (!found.defined()) found = arguments.get(SIZE_MAX, "default");
      if (!found.is_data()) run.refuse(e.line, "an attribute of map is not defined");
      out.push_back(found);
    } else {
      const Expression inner = renamed(e, printed(arguments.get(0, "")));
      out.push_back(filtered(run, inner, one, arguments.from(1)));
    }
  }
  return list_of(run, out);
}

Value joined(const TemplateRun& run, const Expression& e, const Value& value,
             const Arguments& arguments) {
  const std::string between = printed(arguments.get(0, "d", Json("")));
  const Value attribute = arguments.get(1, "attribute");
  std::string out;
  bool first = true;
  for (const Value& one : elements(run, e.line, value)) {
    if (!std::exchange(first, false)) out += between;
    run.charge(between.size());
    out += printed(attribute.is_string() ? attribute_of(run, e, one, attribute.text()) : one);
  }
  return Json(out);
}

/// indent(width=4, first=False, blank=False)
Value indented(const std::string& text, const Arguments& arguments) {
  const Value width = arguments.get(0, "width", Json(4));
  const bool first = arguments.get(1, "first", Json(false)).truth();
  const bool blank = arguments.get(2, "blank", Json(false)).truth();
  const std::string space =
      width.is_string() ? width.text()
                        : std::string(static_cast<size_t>(std::clamp<int64_t>(
                                          width.is_data() && width.data().is_number_integer()
                                              ? width.data().get<int64_t>()
                                              : 4,
                                          0, 256)),
                                      ' ');
  std::string out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const bool empty = end == at;
    if (at == 0 ? first : (blank || !empty)) out += space;
    out += text.substr(at, end - at);
    if (end < text.size()) out += '\n';
    at = end + 1;
  }
  return Json(out);
}

/// int: of a number, of the text of one, also of one with a point; else the default.
Value as_integer(const Value& value, const Arguments& arguments) {
  constexpr double kLargest = 9e15;  // whole in float64
  const Value otherwise = arguments.get(0, "default", Json(0));
  if (value.is_data() && value.data().is_number_integer()) return value;
  if (value.is_data() && value.data().is_boolean()) return Json(value.data().get<bool>() ? 1 : 0);
  double number = 0;
  if (value.is_data() && value.data().is_number()) {
    number = value.data().get<double>();
  } else {
    const std::string text = value.is_string() ? stripped(value.text(), true, true) : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return otherwise;
  }
  return std::abs(number) <= kLargest ? Value(Json(static_cast<int64_t>(number))) : otherwise;
}

/// The filter title: letters behind white space and opening brackets are large, others small.
std::string in_title_case(const TemplateRun& run, const Expression& e, const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of("- \t\n\r\v\f({[<", at), text.size());
    out += in_case(run, e, "capitalize", text.substr(at, end - at));
    if (end < text.size()) out += text[end];
    at = end + 1;
  }
  return out;
}

/// The named arguments that a filter has here.
std::vector<std::string_view> known_arguments(const std::string& name) {
  if (name == "default" || name == "d") return {"default_value", "boolean"};
  if (name == "join") return {"d", "attribute"};
  if (name == "map") return {"attribute", "default"};
  if (name == "tojson") return {"indent", "ensure_ascii"};
  if (name == "indent") return {"width", "first", "blank"};
  if (name == "trim") return {"chars"};
  if (name == "int") return {"default"};
  return {};
}

/// Filters that are a method of texts.
bool is_method(const std::string& name) {
  constexpr auto kMethods =
      std::to_array<std::string_view>({"upper", "lower", "capitalize", "replace", "items"});
  return std::find(kMethods.begin(), kMethods.end(), name) != kMethods.end();
}

}  // namespace

bool tested(const TemplateRun& run, const Expression& e, const Value& value,
            const Arguments& arguments) {
  const auto found = std::find_if(kTests.begin(), kTests.end(),
                                  [&](const NamedTest& test) { return test.name == e.name; });
  if (found != kTests.end()) return found->test(value);
  const std::string_view compared = operator_of(e.name);
  if (!compared.empty()) {
    return operated(run, renamed(e, std::string(compared)), value, arguments.get(0, "")).truth();
  }
  if (e.name == "in") return contains(run, e, arguments.get(0, ""), value);
  if (e.name == "divisibleby") {
    return !operated(run, renamed(e, "%"), value, arguments.get(0, "")).truth();
  }
  run.refuse(e.line, fmt::format("the test \"{}\" is not known", printable(e.name)));
}

Value filtered(const TemplateRun& run, const Expression& e, const Value& value,
               const Arguments& arguments) {
  const std::string& name = e.name;
  require_names(run, e, arguments, known_arguments(name));
  if (name == "default" || name == "d") {
    const bool also_false = arguments.get(1, "boolean").truth();
    const bool keeps = value.defined() && (!also_false || value.truth());
    return keeps ? value : arguments.get(0, "default_value", Json(""));
  }
  if (name == "length" || name == "count") return Json(length_of(run, e, value));
  if (name == "join") return joined(run, e, value, arguments);
  if (name == "list") return list_of(run, elements(run, e.line, value));
  if (name == "first" || name == "last") {
    const std::vector<Value> all = elements(run, e.line, value);
    return all.empty() ? Value() : name == "first" ? all.front() : all.back();
  }
  if (name == "map") return mapped(run, e, value, arguments);
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") {
    return selected(run, e, value, arguments);
  }
  if (name == "int") return as_integer(value, arguments);
  if (name == "string" || name == "safe") return Json(printed(value));
  const bool of_text = name == "trim" || name == "title" || name == "indent" || is_method(name);
  if (!value.defined() && of_text) return filtered(run, e, Json(""), arguments);  // as Jinja
  if (!value.is_data()) {
    run.refuse(e.line, fmt::format("\"{}\" is not defined, and cannot go through the filter \"{}\"",
                                   printable(value.name), printable(name)));
  }
  if (name == "tojson") {
    if (arguments.get(0, "ensure_ascii").truth())
      run.refuse(e.line, "tojson writes no \\u escapes");
    const Value indent = arguments.get(1, "indent");
    const bool lines = indent.is_data() && indent.data().is_number_integer();
    return Json(dumped(value.data(), lines ? indent.data().get<int>() : -1));
  }
  if (name == "trim") {
    const Value of = arguments.get(0, "chars");
    return Json(stripped(printed(value), true, true,
                         of.is_string() ? std::optional(of.text()) : std::nullopt));
  }
  if (name == "title") return Json(in_title_case(run, e, printed(value)));
  if (name == "indent") return indented(printed(value), arguments);
  if (name == "reverse") {
    Expression slice = renamed(e, name);
    return sliced(run, slice, value, {Json(), Json(), Json(-1)});
  }
  if (name == "abs" && value.data().is_number()) {
    return value.data().get<double>() < 0 ? operated(run, renamed(e, "-"), Json(0), value) : value;
  }
  if (is_method(name)) return method(run, e, name, value, arguments);
  run.refuse(e.line, fmt::format("the filter \"{}\" is not known", printable(name)));
}

}  // namespace regroup::chat
