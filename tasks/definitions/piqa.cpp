// PIQA (arXiv:1911.11641): which of two ways reaches a goal.
#include "definitions/definitions.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  return {.contexts = {"Question: " + document.text("goal") + "\nAnswer:"},
          .choices = {document.text("sol1"), document.text("sol2")},
          .gold = {document.label("label", 2)}};
}

}  // namespace

const TaskDefinition tasks::piqa{.name = "piqa",
                                 .measures = tasks::kChoiceMeasures,
                                 .split = "validation",
                                 .draws_own_split = true,
                                 .question = question};

}  // namespace regroup
