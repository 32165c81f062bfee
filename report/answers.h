#pragma once

#include <string>
#include <vector>

#include "regroup/report/report.h"

namespace regroup {

/// A question that a model answered rightly before and does not any more.
struct LostAnswer {
  const ReportAnswer* before;
  const ReportAnswer* after;
};

/// What two models made of the same questions of a task, by a metric that is 0 or 1 for each.
struct AnswerComparison {
  const ReportAnswers* reference;
  const ReportAnswers* other;
  std::string metric;
  int64_t items = 0;  ///< that both answered
  int64_t right_before = 0;
  int64_t right_after = 0;
  int64_t broken = 0;
  int64_t mended = 0;
  int64_t other_prompts = 0;  ///< of items: asked in other words, or with other examples
  std::vector<LostAnswer> lost;
};

/// Every other model against the baseline; where no baseline answered, against the model whose answers come first. Questions
/// are told by the digest of their document: what only one of two models was asked is left out.
std::vector<AnswerComparison> compare_answers(const ReportData& data);

}  // namespace regroup
