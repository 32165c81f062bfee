// SciQ (arXiv:1707.06209): the right answer comes last.
#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  const std::string support(python_lstrip(document.text("support")));
  return {.contexts = {support + "\nQuestion: " + document.text("question") + "\nAnswer:"},
          .choices = {document.text("distractor1"), document.text("distractor2"),
                      document.text("distractor3"), document.text("correct_answer")},
          .gold = {3}};
}

}  // namespace

const TaskDefinition tasks::sciq{
    .name = "sciq", .measures = tasks::kChoiceMeasures, .question = question};

}  // namespace regroup
