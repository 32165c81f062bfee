// OpenBookQA (arXiv:1809.02789).
#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  const TaskRecord choices = document.object("choices");
  const std::string answer(python_lstrip(document.text("answerKey")));
  return {.contexts = {document.text("question_stem")},
          .choices = choices.texts("text"),
          .gold = {lettered_gold(choices, answer)}};
}

}  // namespace

const TaskDefinition tasks::openbookqa{
    .name = "openbookqa", .measures = tasks::kChoiceMeasures, .question = question};

}  // namespace regroup
