#include "answers.h"

#include <algorithm>
#include <map>

#include "report_queries.h"

namespace regroup {
namespace {

const std::string& reference_model(const ReportData& data) {
  const ReportModel* baseline = find_baseline(data);
  const bool answers =
      baseline != nullptr && std::any_of(data.answers.begin(), data.answers.end(),
                                         [&](const auto& a) { return a.model == baseline->name; });
  return answers ? baseline->name : data.answers.front().model;
}

/// Where `metric` stands, if every item is 0 or 1 by it; -1 otherwise.
int64_t place_of_verdict(const ReportAnswers& answers, const std::string& metric) {
  const auto found = std::find(answers.metrics.begin(), answers.metrics.end(), metric);
  if (found == answers.metrics.end()) return -1;
  const auto at = found - answers.metrics.begin();
  const auto is_verdict = [&](const ReportAnswer& item) {
    const double worth = item.worth[static_cast<size_t>(at)];
    return worth == 0 || worth == 1;
  };
  return std::all_of(answers.items.begin(), answers.items.end(), is_verdict) ? at : -1;
}

/// The same questions, in the order of the reference. One that comes twice is paired in its order.
std::vector<LostAnswer> pair_up(const ReportAnswers& reference, const ReportAnswers& other) {
  std::map<std::string, std::vector<const ReportAnswer*>> known;
  for (auto item = other.items.rbegin(); item != other.items.rend(); ++item) {
    known[item->question].push_back(&*item);
  }
  std::vector<LostAnswer> pairs;
  for (const ReportAnswer& item : reference.items) {
    const auto found = known.find(item.question);
    if (found == known.end() || found->second.empty()) continue;
    pairs.push_back({.before = &item, .after = found->second.back()});
    found->second.pop_back();
  }
  return pairs;
}

void add_comparisons(const ReportAnswers& reference, const ReportAnswers& other,
                     std::vector<AnswerComparison>& all) {
  const std::vector<LostAnswer> pairs = pair_up(reference, other);
  if (pairs.empty()) return;
  for (const std::string& metric : reference.metrics) {
    const int64_t before = place_of_verdict(reference, metric);
    const int64_t after = place_of_verdict(other, metric);
    if (before < 0 || after < 0) continue;
    AnswerComparison found{.reference = &reference, .other = &other, .metric = metric, .lost = {}};
    for (const LostAnswer& pair : pairs) {
      const bool was = pair.before->worth[static_cast<size_t>(before)] == 1;
      const bool is = pair.after->worth[static_cast<size_t>(after)] == 1;
      ++found.items;
      found.right_before += was ? 1 : 0;
      found.right_after += is ? 1 : 0;
      found.broken += was && !is ? 1 : 0;
      found.mended += is && !was ? 1 : 0;
      found.other_prompts += pair.before->prompt_digest != pair.after->prompt_digest ? 1 : 0;
      if (was && !is) found.lost.push_back(pair);
    }
    all.push_back(std::move(found));
  }
}

}  // namespace

std::vector<AnswerComparison> compare_answers(const ReportData& data) {
  std::vector<AnswerComparison> all;
  if (data.answers.empty()) return all;
  const std::string& model = reference_model(data);
  for (const ReportAnswers& reference : data.answers) {
    if (reference.model != model) continue;
    for (const ReportAnswers& other : data.answers) {
      const bool same = other.task == reference.task && other.filter == reference.filter;
      if (same && other.model != model) add_comparisons(reference, other, all);
    }
  }
  return all;
}

}  // namespace regroup
