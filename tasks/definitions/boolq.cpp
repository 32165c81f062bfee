// BoolQ (arXiv:1905.10044): yes or no, as SuperGLUE has it.
#include "definitions/definitions.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  return {.contexts = {document.text("passage") + "\nQuestion: " + document.text("question") +
                       "?\nAnswer:"},
          .choices = {"no", "yes"},
          .gold = {document.label(document.has("label") ? "label" : "answer", 2)}};
}

}  // namespace

const TaskDefinition tasks::boolq{.name = "boolq",
                                  .version = 2.0,
                                  .measures = tasks::kAccuracyOnly,
                                  .split = "validation",
                                  .draws_own_split = true,
                                  .question = question};

}  // namespace regroup
