// Operators, members, slices and loops of a template, with the meaning that they have in Python.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/printable.h"
#include "template_run.h"

namespace regroup::chat {
namespace {

bool are_numbers(const Value& a, const Value& b) {
  return a.is_data() && b.is_data() && a.data().is_number() && b.data().is_number();
}

bool are_integers(const Value& a, const Value& b) {
  return a.data().is_number_integer() && b.data().is_number_integer();
}

[[noreturn]] void refuse_operator(const TemplateRun& run, const Expression& e) {
  run.refuse(e.line,
             fmt::format("operands of \"{}\" do not go together", e.name.empty() ? "-" : e.name));
}

Value made(const TemplateRun& run, std::string text) {
  run.charge(text.size());
  return Json(std::move(text));
}

/// a to the power of b, which is not below 0.
bool power_overflows(int64_t a, int64_t b, int64_t& out) {
  out = 1;
  for (int64_t i = 0; i < b; ++i) {
    if (__builtin_mul_overflow(out, a, &out)) return true;
  }
  return false;
}

Value of_integers(const TemplateRun& run, const Expression& e, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflows = false;
  if (e.name == "+") {
    overflows = __builtin_add_overflow(a, b, &out);
  } else if (e.name == "-" || e.name.empty()) {
    overflows = __builtin_sub_overflow(a, b, &out);
  } else if (e.name == "*") {
    overflows = __builtin_mul_overflow(a, b, &out);
  } else if (e.name == "**") {
    if (b < 0) return Json(std::pow(static_cast<double>(a), static_cast<double>(b)));
    if (b > 64 && (a < -1 || a > 1)) run.refuse(e.line, "a number is too large");
    overflows = power_overflows(a, b > 64 ? 64 + b % 2 : b, out);
  } else if (e.name == "//" || e.name == "%") {
    if (b == 0 || b == -1) {
      if (b == 0) run.refuse(e.line, "a division by 0");
      if (e.name == "%") return Json(0);
      overflows = __builtin_sub_overflow(int64_t{0}, a, &out);
    } else {
      const int64_t rest = (a % b + b) % b;  // Python: of the sign of b
      out = e.name == "%" ? rest : (a - rest) / b;
    }
  } else {
    refuse_operator(run, e);
  }
  if (overflows) run.refuse(e.line, "a number is too large");
  return Json(out);
}

Value of_floats(const TemplateRun& run, const Expression& e, double a, double b) {
  if (e.name == "+") return Json(a + b);
  if (e.name == "-" || e.name.empty()) return Json(a - b);
  if (e.name == "*") return Json(a * b);
  if (e.name == "**") return Json(std::pow(a, b));
  if (b == 0) run.refuse(e.line, "a division by 0");
  if (e.name == "/") return Json(a / b);
  if (e.name == "//") return Json(std::floor(a / b));
  refuse_operator(run, e);
}

bool is_order(const std::string& name) {
  return name == "<" || name == ">" || name == "<=" || name == ">=";
}

template <typename T>
bool ordered(const std::string& name, const T& a, const T& b) {
  if (name == "<") return a < b;
  if (name == ">") return a > b;
  return name == "<=" ? a <= b : a >= b;
}

/// An index from the end when below 0; -1: outside.
int64_t place_of(int64_t index, size_t count) {
  const auto n = static_cast<int64_t>(count);
  const int64_t place = index < 0 ? index + n : index;
  return place >= 0 && place < n ? place : -1;
}

}  // namespace

Value operated(const TemplateRun& run, const Expression& e, const Value& left, const Value& right) {
  if (e.name == "~") return made(run, printed(left) + printed(right));
  if (e.name == "==" || e.name == "!=") {
    const bool same = left.defined() == right.defined() && left.kind == right.kind &&
                      (!left.is_data() || equal(left.data(), right.data()));
    return Json(same == (e.name == "=="));
  }
  if (are_numbers(left, right)) {
    if (is_order(e.name)) {
      return Json(ordered(e.name, left.data().get<double>(), right.data().get<double>()));
    }
    const bool whole = are_integers(left, right) && e.name != "/";
    if (whole) {
      return of_integers(run, e, left.data().get<int64_t>(), right.data().get<int64_t>());
    }
    return of_floats(run, e, left.data().get<double>(), right.data().get<double>());
  }
  if (left.is_string() && right.is_string()) {
    if (e.name == "+") return made(run, left.text() + right.text());
    if (is_order(e.name)) return Json(ordered(e.name, left.text(), right.text()));
  }
  const bool lists =
      left.is_data() && right.is_data() && left.data().is_array() && right.data().is_array();
  if (lists && e.name == "+") {
    run.charge(dumped(left.data(), -1).size() + dumped(right.data(), -1).size());
    Json all = left.data();
    for (const Json& one : right.data()) all.push_back(one);
    return all;
  }
  refuse_operator(run, e);
}

Value member(const TemplateRun& run, const Expression& e, const Value& value, const Json& index) {
  Value undefined;
  if (index.is_string()) undefined.name = index.get<std::string>();
  if (!value.defined()) {
    run.refuse(e.line, fmt::format("\"{}\" is not defined, and has no member \"{}\"",
                                   printable(value.name), printable(undefined.name)));
  }
  if (value.kind == Value::Kind::kNamespace) {
    const auto found = value.members->find(undefined.name);
    return found == value.members->end() ? undefined : found->second;
  }
  if (!value.is_data()) return undefined;
  const bool is_method = index == "items" || index == "keys" || index == "values" || index == "get";
  if (value.data().is_object() && e.kind == Expression::Kind::kAttribute && is_method) {
    run.refuse(e.line,
               fmt::format("\"{}\" is a method of dicts, and stands without ()", undefined.name));
  }
  if (value.data().is_object() && index.is_string()) {
    const auto found = value.data().find(undefined.name);
    return found == value.data().end() ? undefined : Value::part(value, *found);
  }
  if (!index.is_number_integer()) return undefined;
  const auto at = index.get<int64_t>();
  if (value.data().is_array()) {
    const int64_t place = place_of(at, value.data().size());
    return place < 0 ? undefined : Value::part(value, value.data()[static_cast<size_t>(place)]);
  }
  if (!value.is_string()) return undefined;
  run.charge(value.text().size());  // which is looked through
  const std::vector<size_t> starts = character_starts(value.text());
  const int64_t place = place_of(at, starts.size() - 1);
  if (place < 0) return undefined;
  const auto i = static_cast<size_t>(place);
  return Json(value.text().substr(starts[i], starts[i + 1] - starts[i]));
}

Value sliced(const TemplateRun& run, const Expression& e, const Value& value,
             const std::vector<Value>& bounds) {
  const bool text = value.is_string();
  if (!text && !(value.is_data() && value.data().is_array())) {
    run.refuse(e.line, "only texts and lists have slices");
  }
  const std::vector<size_t> starts = text ? character_starts(value.text()) : std::vector<size_t>();
  const auto n = static_cast<int64_t>(text ? starts.size() - 1 : value.data().size());
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (bounds[i].is_none()) return otherwise;
    if (!bounds[i].is_data() || !bounds[i].data().is_number_integer()) {
      run.refuse(e.line, "a bound of a slice is no whole number");
    }
    return bounds[i].data().get<int64_t>();
  };
  const int64_t step = bound(2, 1);
  if (step == 0) run.refuse(e.line, "the step of a slice is 0");
  // As Python: bounds count from the end when below 0, and are moved into the text.
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? n : n - 1;
  const auto moved = [&](size_t i, int64_t otherwise) {
    if (bounds[i].is_none()) return otherwise;
    const int64_t at = bound(i, 0);
    return std::clamp(at < 0 ? at + n : at, low, high);
  };
  const int64_t begin = moved(0, step > 0 ? low : high);
  const int64_t end = moved(1, step > 0 ? high : low);
  Json list = Json::array();
  std::string characters;
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    const auto at = static_cast<size_t>(i);
    if (text) {
      characters += value.text().substr(starts[at], starts[at + 1] - starts[at]);
    } else {
      list.push_back(value.data()[at]);
    }
    if (step > n || step < -n) break;
  }
  run.charge(text ? characters.size() : dumped(list, -1).size());
  return text ? Value(Json(characters)) : Value(list);
}

std::vector<Value> elements(const TemplateRun& run, int line, const Value& value) {
  std::vector<Value> all;
  if (!value.defined()) return all;
  if (value.is_data() && value.data().is_array()) {
    for (const Json& one : value.data()) all.push_back(Value::part(value, one));
  } else if (value.is_data() && value.data().is_object()) {
    for (const auto& [key, one] : value.data().items()) all.emplace_back(Json(key));
  } else if (value.is_string()) {
    const std::vector<size_t> starts = character_starts(value.text());
    for (size_t i = 0; i + 1 < starts.size(); ++i) {
      all.emplace_back(Json(value.text().substr(starts[i], starts[i + 1] - starts[i])));
    }
  } else {
    run.refuse(line, "a loop goes through what is no list");
  }
  return all;
}

bool contains(const TemplateRun& run, const Expression& e, const Value& all, const Value& one) {
  if (all.is_string() && one.is_string()) return all.text().find(one.text()) != std::string::npos;
  if (all.is_data() && all.data().is_object()) {
    return one.is_string() && all.data().contains(one.text());
  }
  if (all.is_data() && all.data().is_array()) {
    return one.is_data() &&
           std::any_of(all.data().begin(), all.data().end(),
                       [&](const Json& other) { return equal(other, one.data()); });
  }
  if (!all.defined()) return false;
  run.refuse(e.line, "\"in\" needs a text, a list or a dict");
}

}  // namespace regroup::chat
