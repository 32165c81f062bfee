#include "regroup/tasks/task.h"

#include <algorithm>

#include "definitions/definitions.h"

namespace regroup {
namespace {

constexpr const TaskDefinition* kDefinitions[] = {
#define REGROUP_ENTRY(name) &tasks::name,
#include "regroup/task_definitions.inc"
#undef REGROUP_ENTRY
};

}  // namespace

std::span<const TaskDefinition* const> task_definitions() { return kDefinitions; }

const TaskDefinition* find_task_definition(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kDefinitions), std::end(kDefinitions),
                   [&](const TaskDefinition* definition) { return definition->name == name; });
  return found == std::end(kDefinitions) ? nullptr : *found;
}

std::string_view measure_name(Measure measure) {
  switch (measure) {
    case Measure::kAccuracy:
    case Measure::kRightMass:
    case Measure::kGreedy:
      return "acc";
    case Measure::kAccuracyNorm:
      return "acc_norm";
    case Measure::kAccuracyBytes:
      return "acc_bytes";
    case Measure::kPerplexity:
      return "perplexity";
    case Measure::kWordPerplexity:
      return "word_perplexity";
    case Measure::kBytePerplexity:
      return "byte_perplexity";
    case Measure::kBitsPerByte:
      return "bits_per_byte";
    case Measure::kStrictMatch:
    case Measure::kFlexibleMatch:
    case Measure::kAliasMatch:
    case Measure::kAnswerMatch:
      return "exact_match";
    case Measure::kAnswerF1:
      return "f1";
    case Measure::kRouge1:
      return "rouge1";
    case Measure::kRouge2:
      return "rouge2";
    case Measure::kRougeL:
      return "rougeL";
    case Measure::kBleu:
      return "bleu";
  }
  return "";
}

std::string_view measure_filter(Measure measure) {
  switch (measure) {
    case Measure::kStrictMatch:
      return "strict-match";
    case Measure::kFlexibleMatch:
      return "flexible-extract";
    case Measure::kAliasMatch:
      return "remove_whitespace";
    default:
      return "none";
  }
}

bool higher_is_better(Measure measure) {
  return measure != Measure::kPerplexity && measure != Measure::kWordPerplexity &&
         measure != Measure::kBytePerplexity && measure != Measure::kBitsPerByte;
}

}  // namespace regroup
