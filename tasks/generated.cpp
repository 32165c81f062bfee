// What generated answers are worth.
#include <algorithm>

#include "regroup/tasks/task_scores.h"
#include "regroup/text/python_text.h"
#include "text_metrics.h"
#include "text_metrics/words.h"

namespace regroup {
namespace {

constexpr const char* kInvalid = "[invalid]";  // what lm-evaluation-harness takes for no answer

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_numeral(char c) { return is_digit(c) || c == '.' || c == ','; }

/// The first match of "#### (-?[0-9.,]+)".
std::string strict_number(const std::string& text) {
  constexpr std::string_view kMark = "#### ";
  for (size_t at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at + 1)) {
    const size_t begin = at + kMark.size();
    size_t end = begin + (begin < text.size() && text[begin] == '-' ? 1 : 0);
    const size_t digits = end;
    while (end < text.size() && is_numeral(text[end])) ++end;
    if (end > digits) return text.substr(begin, end - begin);
  }
  return kInvalid;
}

/// The last match of "(-?[$0-9.,]{2,})|(-?[0-9]+)".
std::string last_number(const std::string& text) {
  std::string last = kInvalid;
  for (size_t at = 0; at < text.size();) {
    const size_t digits = at + (text[at] == '-' ? 1 : 0);
    size_t end = digits;
    while (end < text.size() && (is_numeral(text[end]) || text[end] == '$')) ++end;
    if (end < digits + 2) {
      end = digits;
      while (end < text.size() && is_digit(text[end])) ++end;
    }
    if (end == digits) {
      ++at;
      continue;
    }
    last = text.substr(at, end - at);
    at = end;
  }
  return last;
}

/// A number as GSM8K compares it: without commas, dollars, what stands before "#### ", and a full stop at the end.
std::string plain_number(const std::string& text) {
  std::string plain = python_replace(python_replace(text, ",", ""), "$", "");
  if (const size_t mark = plain.rfind("#### "); mark != std::string::npos) {
    plain.erase(0, mark + 5);
  }
  if (plain.ends_with('.')) plain.pop_back();
  return python_lower(plain);
}

double number_match(const TaskQuestion& question, const std::string& number) {
  const std::string said = plain_number(number);
  return std::any_of(question.targets.begin(), question.targets.end(),
                     [&](const std::string& target) { return plain_number(target) == said; })
             ? 1
             : 0;
}

/// Without punctuation of ASCII, in lower case.
std::string bare(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    if (!is_punctuation(c)) kept += c;
  }
  return python_lower(kept);
}

double alias_match(const TaskQuestion& question, const std::string& answer) {
  const std::string said = bare(answer);
  return std::any_of(question.targets.begin(), question.targets.end(),
                     [&](const std::string& target) { return bare(target) == said; })
             ? 1
             : 0;
}

template <typename Score>
double best_of(const TaskQuestion& question, const Score& score) {
  double best = 0;
  for (const std::string& target : question.targets) best = std::max(best, score(target));
  return best;
}

}  // namespace

std::string filtered_answer(Measure measure, const std::string& answer) {
  switch (measure) {
    case Measure::kStrictMatch:
      return strict_number(answer);
    case Measure::kFlexibleMatch:
      return last_number(answer);
    case Measure::kAliasMatch:
      return std::string(python_strip(answer));
    default:
      return answer;
  }
}

double measure_text(Measure measure, const TaskQuestion& question, const std::string& answer) {
  switch (measure) {
    case Measure::kStrictMatch:
    case Measure::kFlexibleMatch:
      return number_match(question, filtered_answer(measure, answer));
    case Measure::kAliasMatch:
      return alias_match(question, filtered_answer(measure, answer));
    case Measure::kAnswerMatch:
      return exact_answer(question.targets, answer, QaRules::kSquad);
    case Measure::kAnswerF1:
      return answer_f1(question.targets, answer, QaRules::kSquad);
    case Measure::kRouge1:
    case Measure::kRouge2:
      return best_of(question, [&](const std::string& target) {
        return rouge_n(target, answer, measure == Measure::kRouge1 ? 1 : 2).f1;
      });
    case Measure::kRougeL:
      return best_of(question,
                     [&](const std::string& target) { return rouge_l(target, answer).f1; });
    default:
      return 0;
  }
}

}  // namespace regroup
