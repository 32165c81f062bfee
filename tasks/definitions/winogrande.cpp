// WinoGrande (arXiv:1907.10641): which of two names fills a blank. Only what stands behind the blank is scored (partial
// evaluation).
#include "definitions/definitions.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

TaskQuestion question(const TaskRecord& document) {
  const std::string sentence = document.text("sentence");
  const size_t blank = sentence.find('_');
  if (blank == std::string::npos) document.refuse("\"sentence\" must hold a blank, _");
  const std::string before = sentence.substr(0, blank);
  const int64_t answer = document.label("answer", 3);
  if (answer == 0) document.refuse("\"answer\" must be 1 or 2, found 0");
  return {.contexts = {before + document.text("option1"), before + document.text("option2")},
          .choices = {std::string(python_strip(sentence.substr(blank + 1)))},
          .gold = {answer - 1}};
}

}  // namespace

const TaskDefinition tasks::winogrande{.name = "winogrande",
                                       .measures = tasks::kAccuracyOnly,
                                       .split = "validation",
                                       .draws_own_split = true,
                                       .question = question};

}  // namespace regroup
