// Questions whose prompts are written out, one record each:
//   {"context", "choices": [..], "gold"}         multiple choice
//   {"contexts": [..], "continuation", "gold"}   one continuation behind several contexts
//   {"context", "continuation"}                  last word
//   {"context", "targets": [..]}                 an answer in words, with "until" and "max_new_tokens"
//   {"text"}                                     a whole text
#include "neutral_form.h"

#include <array>

namespace regroup {
namespace {

constexpr auto kChoice =
    std::to_array<Measure>({Measure::kAccuracy, Measure::kAccuracyNorm, Measure::kAccuracyBytes});
constexpr auto kTwoContexts = std::to_array<Measure>({Measure::kAccuracy});
constexpr auto kLastWord = std::to_array<Measure>({Measure::kPerplexity, Measure::kGreedy});
constexpr auto kWritten =
    std::to_array<Measure>({Measure::kAnswerMatch, Measure::kAnswerF1, Measure::kRouge1,
                            Measure::kRouge2, Measure::kRougeL, Measure::kBleu});
constexpr auto kText = std::to_array<Measure>(
    {Measure::kWordPerplexity, Measure::kBytePerplexity, Measure::kBitsPerByte});

bool has_several_contexts(const TaskRecord& record) { return record.has("contexts"); }

}  // namespace

bool is_neutral(const Json& record) {
  return record.is_object() && (record.contains("context") || record.contains("contexts"));
}

TaskKind neutral_kind(const TaskRecord& record) {
  if (has_several_contexts(record) || record.has("choices")) return TaskKind::kMultipleChoice;
  if (record.has("context") && record.has("targets")) return TaskKind::kGenerate;
  if (record.has("context")) return TaskKind::kLoglikelihood;
  return TaskKind::kRolling;
}

TaskQuestion neutral_question(const TaskRecord& record) {
  if (has_several_contexts(record)) {
    const std::vector<std::string> contexts = record.texts("contexts");
    return {.contexts = contexts,
            .choices = {record.text("continuation")},
            .gold = record.labels("gold", static_cast<int64_t>(contexts.size()))};
  }
  if (record.has("choices")) {
    const std::vector<std::string> choices = record.texts("choices");
    return {.contexts = {record.text("context")},
            .choices = choices,
            .gold = record.labels("gold", static_cast<int64_t>(choices.size()))};
  }
  if (record.has("context") && record.has("targets")) {
    TaskQuestion question{.contexts = {record.text("context")}, .choices = {}};
    question.targets = record.texts("targets");
    question.choices = {question.targets.front()};
    question.until = record.has("until") ? record.texts("until") : std::vector<std::string>{"\n"};
    if (record.has("max_new_tokens")) {
      question.max_new_tokens = record.label("max_new_tokens", 1 << 20);
    }
    if (question.max_new_tokens == 0) record.refuse("\"max_new_tokens\" must be at least 1");
    return question;
  }
  if (record.has("context")) {
    const std::string continuation = record.text("continuation");
    if (continuation.empty()) record.refuse("\"continuation\" must not be empty");
    return {.contexts = {record.text("context")}, .choices = {" " + continuation}, .gold = {0}};
  }
  if (!record.has("text")) {
    record.refuse(
        "must hold \"context\" and \"choices\", \"contexts\" and \"continuation\", \"context\" and "
        "\"continuation\", \"context\" and \"targets\", or \"text\"");
  }
  const std::string text = record.text("text");
  if (text.empty()) record.refuse("\"text\" must not be empty");
  return {.contexts = {""}, .choices = {text}, .gold = {}, .counted = text};
}

TaskDefinition neutral_definition(const TaskRecord& record) {
  TaskDefinition definition{.name = "", .kind = neutral_kind(record), .measures = kText};
  definition.draws_own_split = true;
  if (definition.kind == TaskKind::kLoglikelihood) definition.measures = kLastWord;
  if (definition.kind == TaskKind::kGenerate) definition.measures = kWritten;
  if (definition.kind == TaskKind::kMultipleChoice) {
    definition.measures = has_several_contexts(record) ? std::span<const Measure>(kTwoContexts)
                                                       : std::span<const Measure>(kChoice);
  }
  definition.question = neutral_question;
  return definition;
}

}  // namespace regroup
