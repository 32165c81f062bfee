// GSM8K (arXiv:2110.14168): problems of arithmetic, answered step by step.
#include "definitions/definitions.h"

namespace regroup {
namespace {

constexpr auto kMeasures = std::to_array<Measure>({Measure::kStrictMatch, Measure::kFlexibleMatch});

TaskQuestion question(const TaskRecord& document) {
  TaskQuestion question{.contexts = {"Question: " + document.text("question") + "\nAnswer:"},
                        .choices = {document.text("answer")}};
  question.targets = question.choices;
  question.until = {"Question:", "</s>", "<|im_end|>"};
  return question;
}

}  // namespace

const TaskDefinition tasks::gsm8k{.name = "gsm8k",
                                  .version = 3.0,
                                  .kind = TaskKind::kGenerate,
                                  .measures = kMeasures,
                                  .n_shot = 5,
                                  .question = question};

}  // namespace regroup
