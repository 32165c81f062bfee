// MMLU (arXiv:2009.03300): the text of the right choice, which small models can tell.
#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  const std::vector<std::string> choices = document.texts("choices");
  const std::string subject = document.text("subject");
  return {.contexts = {"Question: " + std::string(python_strip(document.text("question"))) +
                       "\nAnswer:"},
          .choices = choices,
          .gold = {document.label("answer", static_cast<int64_t>(choices.size()))},
          .description = "The following are questions (with answers) about " +
                         python_replace(subject, "_", " ") + ".\n\n",
          .part = subject};
}

}  // namespace

const TaskDefinition tasks::mmlu_continuation{.name = "mmlu_continuation",
                                              .measures = tasks::kChoiceMeasures,
                                              .pool = "dev",
                                              .first_examples = true,
                                              .question = question};

}  // namespace regroup
