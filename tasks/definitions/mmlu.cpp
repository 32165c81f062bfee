// MMLU (arXiv:2009.03300): the letter of the right choice.
#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  const std::vector<std::string> choices = document.texts("choices");
  if (choices.size() != 4) document.refuse("\"choices\" must be four texts");
  const std::string subject = document.text("subject");
  std::string context(python_strip(document.text("question")));
  for (size_t i = 0; i < choices.size(); ++i) {
    context += std::string("\n") + static_cast<char>('A' + i) + ". " + choices[i];
  }
  return {.contexts = {context + "\nAnswer:"},
          .choices = {"A", "B", "C", "D"},
          .gold = {document.label("answer", 4)},
          .description = "The following are multiple choice questions (with answers) about " +
                         python_replace(subject, "_", " ") + ".\n\n",
          .part = subject};
}

}  // namespace

const TaskDefinition tasks::mmlu{.name = "mmlu",
                                 .measures = tasks::kAccuracyOnly,
                                 .pool = "dev",
                                 .first_examples = true,
                                 .question = question};

}  // namespace regroup
