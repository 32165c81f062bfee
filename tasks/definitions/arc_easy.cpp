// ARC (arXiv:1803.05457): questions of science exams.
#include "definitions/definitions.h"

namespace regroup {

TaskQuestion tasks::arc_question(const TaskRecord& document) {
  const TaskRecord choices = document.object("choices");
  return {.contexts = {"Question: " + document.text("question") + "\nAnswer:"},
          .choices = choices.texts("text"),
          .gold = {lettered_gold(choices, document.text("answerKey"))}};
}

const TaskDefinition tasks::arc_easy{
    .name = "arc_easy", .measures = tasks::kChoiceMeasures, .question = tasks::arc_question};

}  // namespace regroup
