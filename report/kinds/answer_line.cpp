#include "kinds/answer_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "kinds/fields.h"
#include "regroup/base/digest.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

constexpr size_t kPromptEnd = 400;  // bytes that are kept of a prompt: examples may stand before it
constexpr size_t kSaidBytes = 400;

constexpr auto kNoMetrics = std::to_array<std::string_view>(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
     "doc_hash", "prompt_hash", "target_hash", "task", "model", "format"});

std::string dumped(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string plain_text(const Json& json) {
  return json.is_string() ? json.get<std::string>() : dumped(json);
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// The last bytes of a text, from the start of a character.
std::string end_of(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  size_t at = text.size() - bytes;
  while (at < text.size() && continues(text[at])) ++at;
  return "… " + text.substr(at);
}

std::string start_of(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  size_t end = bytes;
  while (end > 0 && continues(text[end])) --end;
  return text.substr(0, end) + " …";
}

/// A request: what stood before the answer, and the answer that was asked about.
struct Asked {
  std::string context;
  std::string continuation;
};

/// "arguments" are {"gen_args_0": {"arg_0": .., "arg_1": ..}}, in older files [[.., ..]].
std::vector<Asked> asked_in(const JsonFields& line) {
  std::vector<Asked> all;
  const Json* arguments = line.find("arguments");
  if (arguments == nullptr) return all;
  if (!arguments->is_structured()) {
    wrong_type(line.path(), "\"arguments\" must be an object or a list");
  }
  for (const Json& one : *arguments) {
    Asked asked;
    const bool listed = one.is_array();
    if (!listed && !one.is_object()) {
      wrong_type(line.path(), "\"arguments\" must hold objects or lists");
    }
    const Json* parts[2] = {nullptr, nullptr};
    for (size_t i = 0; i < 2; ++i) {
      const std::string key = fmt::format("arg_{}", i);
      if (listed && i < one.size()) parts[i] = &one[i];
      if (!listed && one.contains(key)) parts[i] = &one[key];
    }
    if (parts[0] != nullptr) asked.context = plain_text(*parts[0]);
    if (parts[1] != nullptr && parts[1]->is_string()) asked.continuation = *parts[1];
    all.push_back(std::move(asked));
  }
  return all;
}

/// -12.5, or "-12.5"
std::optional<double> likelihood(const Json& pair) {
  if (!pair.is_array() || pair.size() != 2) return std::nullopt;
  if (pair[0].is_number()) return pair[0].get<double>();
  if (!pair[0].is_string()) return std::nullopt;
  const auto& text = pair[0].get_ref<const std::string&>();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() ? std::nullopt : std::optional(value);
}

/// Where the word that holds `at` begins; `at` itself in writing without spaces.
size_t start_of_word(const std::string& text, size_t at) {
  constexpr size_t kLongestWord = 60;  // bytes
  for (size_t start = at; at - start <= kLongestWord; --start) {
    if (start == 0) return 0;
    if (text[start - 1] == ' ' || text[start - 1] == '\n') return start;
  }
  return at;
}

/// What tells request `i` from the others: its answer, or where contexts differ what they differ in.
std::string choice_text(const std::vector<Asked>& asked, size_t i) {
  const bool one_answer = std::all_of(asked.begin(), asked.end(), [&](const Asked& a) {
    return a.continuation == asked.front().continuation;
  });
  if (!one_answer) return asked[i].continuation;
  size_t same = 0;
  const std::string& first = asked.front().context;
  while (same < first.size() && std::all_of(asked.begin(), asked.end(), [&](const Asked& a) {
           return same < a.context.size() && a.context[same] == first[same];
         })) {
    ++same;
  }
  while (same > 0 && continues(first[std::min(same, first.size() - 1)])) --same;
  same = start_of_word(first, same);
  return asked[i].context.substr(std::min(same, asked[i].context.size()));
}

/// The answer in words: what was generated, or the likeliest choice.
std::string said_in(const JsonFields& line, const std::vector<Asked>& asked) {
  const Json* said = line.find("filtered_resps");
  if (said == nullptr) return {};
  if (!said->is_array()) wrong_type(line.path(), "\"filtered_resps\" must be a list");
  if (said->empty()) return {};
  const auto first = likelihood(said->front());
  if (!first) return start_of(plain_text(said->front()), kSaidBytes);
  if (said->size() == 1) {
    const Json& greedy = said->front()[1];
    return greedy == "True" || greedy == true ? "this very answer" : "another answer";
  }
  size_t best = 0;
  double most = *first;
  for (size_t i = 1; i < said->size(); ++i) {
    const auto value = likelihood((*said)[i]);
    if (!value || !(*value > most)) continue;
    most = *value;
    best = i;
  }
  return best < asked.size() ? start_of(choice_text(asked, best), kSaidBytes) : "";
}

/// The right answer in words, where the line has its number.
std::string target_in(const JsonFields& line, const std::vector<Asked>& asked) {
  const Json* target = line.find("target");
  if (target == nullptr) return {};
  const std::string text = plain_text(*target);
  const bool digits =
      !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == std::string::npos;
  if (digits && asked.size() > 1 && static_cast<size_t>(std::stoul(text)) < asked.size()) {
    return start_of(choice_text(asked, std::stoul(text)), kSaidBytes);
  }
  return start_of(text, kSaidBytes);
}

std::vector<std::string> metric_names(const Json& json, const JsonFields& line) {
  std::vector<std::string> names;
  if (const Json* listed = line.find("metrics")) {
    if (!listed->is_array()) wrong_type(line.path(), "\"metrics\" must be a list");
    for (const Json& name : *listed) {
      if (!name.is_string()) wrong_type(line.path(), "\"metrics\" must hold texts");
      names.push_back(name);
    }
    return names;
  }
  for (const auto& [key, value] : json.items()) {
    const bool other = std::find(kNoMetrics.begin(), kNoMetrics.end(), key) != kNoMetrics.end();
    if (!other && (value.is_number() || value.is_boolean())) names.push_back(key);
  }
  return names;
}

void read_worth(const Json& json, const JsonFields& line, AnswerLine& read) {
  read.metrics = metric_names(json, line);
  for (const std::string& name : read.metrics) {
    const auto value = json.find(name);
    if (value == json.end()) continue;
    if (value->is_array()) continue;  // a sum and what it is divided by
    if (value->is_number()) {
      read.worth[name] = value->get<double>();
    } else if (value->is_boolean()) {
      read.worth[name] = value->get<bool>() ? 1 : 0;
    } else if (value->is_null() || value->is_string()) {
      read.worth[name] = std::numeric_limits<double>::quiet_NaN();
    } else {
      wrong_type(line.path(), fmt::format("\"{}\" must be a number", printable(name, 60)));
    }
  }
}

}  // namespace

AnswerLine read_answer_line(const Json& json, const std::string& where) {
  if (!json.is_object()) wrong_type(where, "every line must be an object");
  const JsonFields line(json, where);
  require_format(json, kAnswersFormat, where);
  line.integer("doc_id", INT64_MIN, INT64_MAX);
  AnswerLine read;
  read.model = text_of(line, "model");
  read.task = text_of(line, "task");
  read.filter = line.string("filter").value_or("none");
  read_worth(json, line, read);
  const std::vector<Asked> asked = asked_in(line);
  const std::string prompt = asked.empty() ? "" : asked.front().context;
  ReportAnswer& answer = read.answer;
  answer.question = text_of(line, "doc_hash");
  if (answer.question.empty()) {
    const Json* document = line.find("doc");
    answer.question = sha256_of_text(document == nullptr ? "" : dumped(*document, 2));
  }
  answer.prompt_digest = text_of(line, "prompt_hash");
  if (answer.prompt_digest.empty()) answer.prompt_digest = sha256_of_text(prompt);
  answer.prompt = end_of(prompt, kPromptEnd);
  answer.target = target_in(line, asked);
  answer.said = said_in(line, asked);
  return read;
}

}  // namespace regroup
