// LAMBADA (arXiv:1606.06031): the last word of a passage, in OpenAI's spelling of the texts.
#include "definitions/definitions.h"

namespace regroup {

TaskQuestion tasks::lambada_question(const TaskRecord& document) {
  const std::string text = document.text("text");
  const size_t space = text.rfind(' ');
  // A text without a space is its own last word, behind nothing.
  const std::string before = space == std::string::npos ? "" : text.substr(0, space);
  const std::string word = space == std::string::npos ? text : text.substr(space + 1);
  return {.contexts = {before}, .choices = {" " + word}, .gold = {0}};
}

const TaskDefinition tasks::lambada_openai{.name = "lambada_openai",
                                           .kind = TaskKind::kLoglikelihood,
                                           .measures = tasks::kLastWordMeasures,
                                           .pool = "test",
                                           .question = tasks::lambada_question};

}  // namespace regroup
