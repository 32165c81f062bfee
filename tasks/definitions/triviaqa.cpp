// TriviaQA (arXiv:1705.03551) without a text to read in.
#include "definitions/definitions.h"

namespace regroup {
namespace {

constexpr auto kMeasures = std::to_array<Measure>({Measure::kAliasMatch});

TaskQuestion question(const TaskRecord& document) {
  TaskQuestion question{.contexts = {"Question: " + document.text("question") + "?\nAnswer:"},
                        .choices = {}};
  question.targets = document.object("answer").texts("aliases");
  question.choices = {question.targets.front()};
  question.until = {"\n", ".", ","};
  return question;
}

}  // namespace

const TaskDefinition tasks::triviaqa{.name = "triviaqa",
                                     .version = 3.0,
                                     .kind = TaskKind::kGenerate,
                                     .measures = kMeasures,
                                     .split = "validation",
                                     .draws_own_split = true,
                                     .question = question};

}  // namespace regroup
