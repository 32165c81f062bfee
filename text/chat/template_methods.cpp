// Methods of texts and dicts, and the functions of a template, with the meaning that they have in Python.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iomanip>
#include <locale>
#include <optional>
#include <sstream>
#include <string_view>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "template_run.h"
#include "text_checks.h"

namespace regroup::chat {
namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
char upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

Json split(const TemplateRun& run, const Expression& e, const std::string& text,
           const Arguments& arguments) {
  const Value separator = arguments.get(0, "sep", Json());
  const Value most = arguments.get(1, "maxsplit", Json(-1));
  int64_t left =
      most.is_data() && most.data().is_number_integer() ? most.data().get<int64_t>() : -1;
  Json parts = Json::array();
  if (separator.is_none()) {
    std::string_view rest = text;
    const auto space_at = [&](size_t at) { return decode_front(rest.substr(at)); };
    while (true) {
      while (!rest.empty() && is_python_space(space_at(0).value)) {
        rest.remove_prefix(std::max<size_t>(1, space_at(0).length));
      }
      if (rest.empty()) return parts;
      if (left-- == 0) {
        parts.push_back(stripped(rest, false, true));
        return parts;
      }
      size_t end = 0;
      while (end < rest.size() && !is_python_space(space_at(end).value)) {
        end += std::max<size_t>(1, space_at(end).length);
      }
      parts.push_back(std::string(rest.substr(0, end)));
      rest.remove_prefix(end);
    }
  }
  if (!separator.is_string() || separator.text().empty()) {
    run.refuse(e.line, "split needs a text to split at");
  }
  size_t at = 0;
  while (true) {
    const size_t end = left == 0 ? std::string::npos : text.find(separator.text(), at);
    parts.push_back(text.substr(at, end == std::string::npos ? end : end - at));
    if (end == std::string::npos) return parts;
    at = end + separator.text().size();
    --left;
  }
}

std::string replaced(const TemplateRun& run, const Expression& e, const std::string& text,
                     const Arguments& arguments) {
  const Value from = arguments.get(0, "old");
  const Value to = arguments.get(1, "new");
  const Value count = arguments.get(2, "count", Json(-1));
  if (!from.is_string() || !to.is_string() || from.text().empty()) {
    run.refuse(e.line, "replace needs a text and what stands for it");
  }
  int64_t left =
      count.is_data() && count.data().is_number_integer() ? count.data().get<int64_t>() : -1;
  std::string out;
  size_t at = 0;
  for (size_t end; left != 0 && (end = text.find(from.text(), at)) != std::string::npos; --left) {
    run.charge(to.text().size() + end - at);
    out += text.substr(at, end - at) + to.text();
    at = end + from.text().size();
  }
  return out + text.substr(at);
}

/// startswith, endswith: of one text or one of a list
bool has_end(const std::string& name, const std::string& text, const Value& end) {
  if (end.is_string()) {
    return name == "startswith" ? text.starts_with(end.text()) : text.ends_with(end.text());
  }
  return end.is_data() && end.data().is_array() &&
         std::any_of(end.data().begin(), end.data().end(),
                     [&](const Json& one) { return has_end(name, text, one); });
}

Value text_method(const TemplateRun& run, const Expression& e, const std::string& name,
                  const std::string& text, const Arguments& arguments) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Value of = arguments.get(0, "chars");
    return Json(stripped(text, name != "rstrip", name != "lstrip",
                         of.is_string() ? std::optional(of.text()) : std::nullopt));
  }
  if (name == "startswith" || name == "endswith") {
    return Json(has_end(name, text, arguments.get(0, "")));
  }
  if (name == "split") return split(run, e, text, arguments);
  if (name == "replace") return Json(replaced(run, e, text, arguments));
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") {
    return Json(in_case(run, e, name, text));
  }
  if (name == "join") {
    std::string out;
    bool first = true;
    for (const Value& one : elements(run, e.line, arguments.get(0, ""))) {
      if (!one.is_string()) run.refuse(e.line, "join needs a list of texts");
      run.charge(text.size() + one.text().size());
      if (!std::exchange(first, false)) out += text;
      out += one.text();
    }
    return Json(out);
  }
  run.refuse(e.line, fmt::format("the method \"{}\" of texts is not known", printable(name)));
}

Value dict_method(const TemplateRun& run, const Expression& e, const std::string& name,
                  const Json& dict, const Arguments& arguments) {
  if (name == "get") {
    const Value key = arguments.get(0, "");
    if (key.is_string() && dict.contains(key.text())) return dict.at(key.text());
    return arguments.get(1, "", Json());
  }
  if (name == "items" || name == "keys" || name == "values") {
    Json list = Json::array();
    for (const auto& [key, value] : dict.items()) {
      list.push_back(name == "items"  ? Json::array({key, value})
                     : name == "keys" ? Json(key)
                                      : value);
    }
    return list;
  }
  run.refuse(e.line, fmt::format("the method \"{}\" of dicts is not known", printable(name)));
}

/// The day of `chat-date` in a format of strftime.
std::string written_date(const TemplateRun& run, const Expression& e, const Value& format) {
  std::tm day{};
  const std::string& date = run.places().date;  // YYYY-MM-DD
  day.tm_year = std::stoi(date.substr(0, 4)) - 1900;
  day.tm_mon = std::stoi(date.substr(5, 2)) - 1;
  day.tm_mday = std::stoi(date.substr(8, 2));
  (void)timegm(&day);  // the day of the week and of the year
  if (!format.is_string()) run.refuse(e.line, "strftime_now needs a format");
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::put_time(&day, format.text().c_str());
  return text.str();
}

Value range(const TemplateRun& run, const Expression& e, const Arguments& arguments) {
  constexpr int64_t kMost = 100'000;
  std::vector<int64_t> numbers;
  for (const Value& value : arguments.values) {
    if (!value.is_data() || !value.data().is_number_integer()) {
      run.refuse(e.line, "range needs whole numbers");
    }
    numbers.push_back(value.data().get<int64_t>());
  }
  if (numbers.empty() || numbers.size() > 3) run.refuse(e.line, "range needs one to three numbers");
  const int64_t begin = numbers.size() > 1 ? numbers[0] : 0;
  const int64_t end = numbers.size() > 1 ? numbers[1] : numbers[0];
  const int64_t step = numbers.size() > 2 ? numbers[2] : 1;
  if (step == 0) run.refuse(e.line, "the step of range is 0");
  Json list = Json::array();
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    if (list.size() >= kMost)
      run.refuse(e.line, fmt::format("range gives more than {} numbers", kMost));
    list.push_back(i);
  }
  return list;
}

}  // namespace

std::string in_case(const TemplateRun& run, const Expression& e, const std::string& name,
                    std::string text) {
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!plain) run.refuse(e.line, "the case of characters beyond ASCII is not changed");
  bool inside = false;  // a word, for title; the text, for capitalize
  for (char& c : text) {
    const bool big = name == "upper" || (name != "lower" && !inside);
    c = big ? upper(c) : lower(c);
    inside = name == "title" ? is_upper(c) || is_lower(c) : true;
  }
  return text;
}

Value method(const TemplateRun& run, const Expression& e, const std::string& name,
             const Value& value, const Arguments& arguments) {
  require_names(run, e, arguments, {"sep", "maxsplit", "count", "old", "new"});
  if (value.is_string()) return text_method(run, e, name, value.text(), arguments);
  if (value.is_data() && value.data().is_object()) {
    return dict_method(run, e, name, value.data(), arguments);
  }
  run.refuse(e.line, fmt::format("\"{}\" is asked of what has no methods", printable(name)));
}

Value function(const TemplateRun& run, const Expression& e, const std::string& name,
               const Arguments& arguments) {
  if (name == "range") return range(run, e, arguments);
  if (name == "strftime_now") {
    if (!run.places().date.empty()) return Json(written_date(run, e, arguments.get(0, "")));
    run.refuse(e.line,
               "the template asks for today's date (strftime_now), with which the same "
               "conversation has another text every day; give `chat-date`");
  }
  if ((name == "namespace" || name == "dict") && !arguments.values.empty()) {
    run.refuse(e.line, fmt::format("{} is given what has no name", name));
  }
  if (name == "namespace") {
    Value value = Value::make_namespace();
    for (const auto& [key, one] : arguments.named) (*value.members)[key] = one;
    return value;
  }
  if (name == "dict") {
    Json dict = Json::object();
    for (const auto& [key, one] : arguments.named) dict[key] = one.data();
    return dict;
  }
  throw CheckpointError(
      {.code = "TPL_MESSAGES",
       .message = fmt::format("the model's chat template refuses a conversation: {}",
                              printable(printed(arguments.get(0, "")))),
       .path = run.places().conversation,
       .hint = "change the conversation as it asks, or leave it out"});
}

}  // namespace regroup::chat
