#pragma once

#include <array>

#include "regroup/tasks/task.h"
#include "task_record.h"

/// A task is one file of definitions/, named in TASKS of CMakeLists.txt. Prompts are those of lm-evaluation-harness 0.4
/// (MIT), so that scores compare.
namespace regroup::tasks {
#define REGROUP_ENTRY(name) extern const TaskDefinition name;
#include "regroup/task_definitions.inc"
#undef REGROUP_ENTRY

inline constexpr auto kChoiceMeasures =
    std::to_array<Measure>({Measure::kAccuracy, Measure::kAccuracyNorm});
inline constexpr auto kAccuracyOnly = std::to_array<Measure>({Measure::kAccuracy});
inline constexpr auto kLastWordMeasures =
    std::to_array<Measure>({Measure::kPerplexity, Measure::kGreedy});

/// ARC, both sets.
TaskQuestion arc_question(const TaskRecord& document);
/// LAMBADA, both sets: the last word of a text.
TaskQuestion lambada_question(const TaskRecord& document);
/// What stands before every question of TruthfulQA, and the question.
std::string truthfulqa_context(const TaskRecord& document);

}  // namespace regroup::tasks
