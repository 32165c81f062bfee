// TruthfulQA (arXiv:2109.07958), multiple choice, several right answers: how much probability they have together.
#include "definitions/definitions.h"

namespace regroup {
namespace {

constexpr auto kMeasures = std::to_array<Measure>({Measure::kRightMass});

TaskQuestion question(const TaskRecord& document) {
  const TaskRecord targets = document.object("mc2_targets");
  TaskQuestion question{.contexts = {tasks::truthfulqa_context(document)},
                        .choices = targets.texts("choices"),
                        .gold = {}};
  const std::vector<int64_t> right = targets.labels("labels", 2);
  if (right.size() != question.choices.size()) {
    document.refuse("\"mc2_targets\" must hold as many labels as choices");
  }
  for (size_t i = 0; i < right.size(); ++i) {
    if (right[i] == 1) question.gold.push_back(static_cast<int64_t>(i));
  }
  return question;
}

}  // namespace

const TaskDefinition tasks::truthfulqa_mc2{.name = "truthfulqa_mc2",
                                           .version = 3.0,
                                           .measures = kMeasures,
                                           .split = "validation",
                                           .fixed_shots = true,
                                           .question = question};

}  // namespace regroup
