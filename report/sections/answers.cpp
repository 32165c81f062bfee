// Questions that a model answered rightly before and does not any more.
#include "answers.h"

#include <fmt/format.h>

#include <algorithm>

#include "compose.h"
#include "report_document.h"
#include "report_numbers.h"
#include "sections/models.h"

namespace regroup {
namespace {

constexpr size_t kLostOfATask = 10;
constexpr size_t kLostInAll = 60;

std::string answers_title(const AnswerComparison& found) {
  return found.other->filter == "none" ? found.metric
                                       : fmt::format("{} ({})", found.metric, found.other->filter);
}

/// A cell has one line.
std::string in_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::replace(text.begin(), text.end(), '\t', ' ');
  return text;
}

/// What is not the same about the questions.
std::string asked_note(const AnswerComparison& found) {
  std::string note;
  const auto before = static_cast<int64_t>(found.reference->items.size());
  const auto after = static_cast<int64_t>(found.other->items.size());
  if (before > found.items || after > found.items) {
    note = fmt::format("of {} and {}", grouped_digits(before), grouped_digits(after));
  }
  if (found.other_prompts > 0) {
    note += fmt::format("{}{} with another prompt", note.empty() ? "" : ", ",
                        grouped_digits(found.other_prompts));
  }
  return note;
}

/// Within a sentence.
std::string reference_text(const ReportData& data, const std::string& model) {
  const std::string label = model_label(data, model);
  return label == role_label(ModelRole::kBaseline) ? "the model before" : label;
}

Table counts_table(const ReportData& data, const std::vector<AnswerComparison>& all) {
  Table table{.caption = fmt::format("Answers of each model beside those of {} to the same "
                                     "questions",
                                     reference_text(data, all.front().reference->model)),
              .columns = {{"Task"},
                          {"Metric"},
                          {"Model"},
                          {"Questions of both", ColumnKind::kNumber},
                          {"Right before", ColumnKind::kNumber},
                          {"Right", ColumnKind::kNumber},
                          {"Broken", ColumnKind::kNumber},
                          {"Mended", ColumnKind::kNumber}},
              .rows = {}};
  for (const AnswerComparison& found : all) {
    table.rows.push_back({{found.other->task},
                          {answers_title(found)},
                          {model_label(data, found.other->model)},
                          {.text = grouped_digits(found.items), .note = asked_note(found)},
                          {grouped_digits(found.right_before)},
                          {grouped_digits(found.right_after)},
                          {grouped_digits(found.broken)},
                          {grouped_digits(found.mended)}});
  }
  return table;
}

Table lost_table(const ReportData& data, const AnswerComparison& found, size_t shown) {
  Table table{.caption = fmt::format(
                  "Broken by {}: {}, {}, {} of {}", model_label(data, found.other->model),
                  shorten_name(found.other->task), answers_title(found), shown, found.lost.size()),
              .columns = {{"Question"},
                          {"Right answer"},
                          {model_label(data, found.reference->model)},
                          {model_label(data, found.other->model)}},
              .rows = {}};
  for (size_t i = 0; i < shown; ++i) {
    const LostAnswer& lost = found.lost[i];
    table.rows.push_back({{in_one_line(lost.before->prompt)},
                          {in_one_line(lost.before->target)},
                          {in_one_line(lost.before->said)},
                          {in_one_line(lost.after->said)}});
  }
  return table;
}

}  // namespace

void sections::answers(const ReportData& data, std::vector<Section>& all) {
  const std::vector<AnswerComparison> found = compare_answers(data);
  if (found.empty()) return;
  Section section{.id = "answers", .title = "Answers", .blocks = {counts_table(data, found)}};
  size_t left = kLostInAll;
  const AnswerComparison* last = nullptr;
  for (const AnswerComparison& one : found) {
    // One measure of a task is enough to see what kind of questions broke.
    const bool repeats = last != nullptr && last->other == one.other;
    const size_t shown = std::min({one.lost.size(), kLostOfATask, left});
    if (repeats || shown == 0) continue;
    section.blocks.push_back(lost_table(data, one, shown));
    left -= shown;
    last = &one;
  }
  all.push_back(std::move(section));
}

}  // namespace regroup
