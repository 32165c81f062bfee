// What models said to questions: samples_*.jsonl of lm-evaluation-harness, and the file of eval --samples.
#include "answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "kinds/answer_line.h"
#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "regroup/base/error.h"
#include "regroup/base/harness_name.h"
#include "report_data.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

/// Collects the lines of a file into what each model said to each task.
class AnswerReader {
 public:
  AnswerReader(const std::string& path, ReportData& data) : data_(data) {
    const std::filesystem::path file(path);
    folder_ = std::filesystem::absolute(file).parent_path().filename().string();
    // samples_TASK_DATE.jsonl
    const std::string stem = file.stem().string();
    const size_t first = stem.find('_');
    const size_t last = stem.rfind('_');
    const bool named = stem.starts_with("samples_") && last > first;
    task_ = named ? stem.substr(first + 1, last - first - 1) : stem;
  }

  void add(const Json& json, const std::string& where) {
    AnswerLine line = read_answer_line(json, where);
    const bool named_by_folder = line.model.empty();
    if (named_by_folder) line.model = folder_;
    if (line.task.empty()) line.task = task_;
    const auto [place, is_new] =
        places_.try_emplace({line.model, line.task, line.filter}, data_.answers.size());
    if (is_new) {
      data_.answers.push_back({.model = line.model,
                               .named_by_folder = named_by_folder,
                               .task = line.task,
                               .filter = line.filter,
                               .metrics = metrics_of(line),
                               .items = {}});
    }
    ReportAnswers& answers = data_.answers[place->second];
    line.answer.worth.clear();
    for (const std::string& metric : answers.metrics) {
      const auto found = line.worth.find(metric);
      line.answer.worth.push_back(
          found == line.worth.end() ? std::numeric_limits<double>::quiet_NaN() : found->second);
    }
    answers.items.push_back(std::move(line.answer));
  }

 private:
  static std::vector<std::string> metrics_of(const AnswerLine& line) {
    std::vector<std::string> names;
    for (const std::string& name : line.metrics) {
      if (line.worth.contains(name)) names.push_back(name);
    }
    return names;
  }

  ReportData& data_;
  std::string folder_;
  std::string task_;
  std::map<std::tuple<std::string, std::string, std::string>, size_t> places_;
};

Json comparison_json(const AnswerComparison& found) {
  return {{"task", found.other->task},
          {"filter", found.other->filter},
          {"metric", found.metric},
          {"reference", found.reference->model},
          {"model", found.other->model},
          {"items", found.items},
          {"right_before", found.right_before},
          {"right_after", found.right_after},
          {"right_to_wrong", found.broken},
          {"wrong_to_right", found.mended},
          {"other_prompts", found.other_prompts}};
}

Json answers_report_json(const ReportData& data) {
  return list_json(compare_answers(data), comparison_json);
}

std::string answers_csv(const ReportData& data) {
  std::string text;
  for (const AnswerComparison& found : compare_answers(data)) {
    for (const auto& [what, count] :
         {std::pair{"right_to_wrong", found.broken}, std::pair{"wrong_to_right", found.mended}}) {
      text += csv_line({.section = "answers",
                        .model = found.other->model,
                        .metric = fmt::format("{}:{},{}:{}", found.other->task, found.metric,
                                              found.other->filter, what),
                        .value = std::to_string(count),
                        .n = std::to_string(found.items)});
    }
  }
  return text;
}

/// A last line that is not whole is left out.
void add_answers(std::string_view lines, const std::string& path, ReportData& data) {
  AnswerReader reader(path, data);
  const size_t start = lines.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && lines[start] == '[') {
    const Json all = parse_strict_json(lines, path, kManifestJson);
    for (size_t i = 0; i < all.size(); ++i) reader.add(all[i], fmt::format("{}:[{}]", path, i));
    return;
  }
  for (size_t number = 1; !lines.empty(); ++number) {
    const size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(lines.size(), end == std::string_view::npos ? end : end + 1));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    if (lines.empty() && !Json::accept(line)) continue;  // torn
    const std::string where = fmt::format("{}:{}", path, number);
    reader.add(parse_strict_json(line, where, kManifestJson), where);
  }
}

}  // namespace

void name_answering_models(ReportData& data) {
  std::map<std::string, std::string> names;  // by folder
  for (const ReportTaskScore& score : data.task_scores) {
    names.emplace(harness_file_name(score.model), score.model);
  }
  for (const ReportModel& model : data.models) {
    names.insert_or_assign(harness_file_name(model.name), model.name);
  }
  for (ReportAnswers& answers : data.answers) {
    const auto known = names.find(answers.model);
    if (answers.named_by_folder && known != names.end()) answers.model = known->second;
  }
  // Of answers that were given twice the later ones count.
  std::set<std::tuple<std::string, std::string, std::string>> seen;
  std::vector<ReportAnswers> kept;
  for (auto answers = data.answers.rbegin(); answers != data.answers.rend(); ++answers) {
    const bool is_new = seen.emplace(answers->model, answers->task, answers->filter).second;
    if (is_new) kept.push_back(std::move(*answers));
  }
  std::reverse(kept.begin(), kept.end());
  data.answers = std::move(kept);
}

const ResultKind kinds::answers{.name = "answers to tasks",
                                .format = kAnswersFormat,
                                .add_lines = add_answers,
                                .key = "answers",
                                .json = answers_report_json,
                                .csv = answers_csv};

}  // namespace regroup
