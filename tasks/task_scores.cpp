#include "regroup/tasks/task_scores.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <thread>

#include "python_random.h"
#include "regroup/base/processors.h"
#include "regroup/text/documents.h"
#include "regroup/text/python_text.h"
#include "subject_groups.h"
#include "text_metrics.h"

namespace regroup {
namespace {

bool counts_right(const TaskQuestion& question, size_t chosen) {
  const auto& gold = question.gold;
  return std::find(gold.begin(), gold.end(), static_cast<int64_t>(chosen)) != gold.end();
}

/// The first choice of those with the most log-likelihood a unit of length.
template <typename Length>
size_t best_choice(const TaskQuestion& question, const std::vector<RequestScore>& scores,
                   const Length& length) {
  size_t best = 0;
  double most = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    // With several contexts there is one continuation, and its length makes no difference.
    const std::string& choice = question.choices[question.choices.size() > i ? i : 0];
    const double value = scores[i].log_likelihood / length(choice);
    if (i == 0 || value > most) {
      best = i;
      most = value;
    }
  }
  return best;
}

double right_mass(const TaskQuestion& question, const std::vector<RequestScore>& scores) {
  double most = scores.front().log_likelihood;
  for (const RequestScore& score : scores) most = std::max(most, score.log_likelihood);
  double all = 0;
  double right = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double mass = std::exp(scores[i].log_likelihood - most);
    all += mass;
    if (counts_right(question, i)) right += mass;
  }
  return right / all;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// Of a sample.
double deviation(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

/// Standard deviation of exp(-mean) over resampled items. Every thousand draws have a generator of their own, so that the
/// result does not depend on the processors.
double bootstrap_error(const std::vector<double>& items, int64_t iterations) {
  constexpr int64_t kChunk = 1000;
  const int64_t chunk = std::min(kChunk, iterations);
  const int64_t chunks = iterations / chunk;
  std::vector<double> values(static_cast<size_t>(chunk * chunks));
  const auto n = static_cast<double>(items.size());
  const auto run = [&](int64_t first, int64_t step) {
    for (int64_t c = first; c < chunks; c += step) {
      PythonRandom random(static_cast<uint64_t>(c));
      for (int64_t i = 0; i < chunk; ++i) {
        double sum = 0;
        for (size_t k = 0; k < items.size(); ++k) {
          sum += items[static_cast<size_t>(random.random() * n)];
        }
        values[static_cast<size_t>(c * chunk + i)] = std::exp(-sum / n);
      }
    }
  };
  const int64_t threads = std::clamp<int64_t>(usable_threads(), 1, chunks);
  std::vector<std::jthread> others;
  for (int64_t t = 1; t < threads; ++t)
    others.emplace_back([&run, t, threads] { run(t, threads); });
  run(0, threads);
  others.clear();
  return deviation(values);
}

/// exp, or bits, of the mean nats a word or byte of the texts that count.
double per_unit(Measure measure, const std::vector<double>& items,
                const std::vector<TaskQuestion>& questions) {
  double nats = 0;
  double units = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string& text = questions[i].counted;
    nats -= items[i];
    units += measure == Measure::kWordPerplexity ? static_cast<double>(count_words(text))
                                                 : static_cast<double>(text.size());
  }
  const double mean = nats / units;
  return measure == Measure::kBitsPerByte ? mean / std::numbers::ln2 : std::exp(mean);
}

/// Scores of a group: means weighted by size, and the error of their pooled variance.
TaskSummary pooled(const std::string& name, const std::vector<const TaskSummary*>& parts) {
  TaskSummary group{.name = name, .is_group = true, .items = 0, .scores = {}};
  for (const TaskSummary* part : parts) group.items += part->items;
  for (const TaskSummary* part : parts) group.members.push_back(part->name);
  const auto total = static_cast<double>(group.items);
  for (size_t s = 0; s < parts.front()->scores.size(); ++s) {
    double sum = 0;
    double variance = 0;
    bool known = true;
    for (const TaskSummary* part : parts) {
      const auto n = static_cast<double>(part->items);
      sum += part->scores[s].value * n;
      known = known && part->scores[s].error.has_value();
      const double error = part->scores[s].error.value_or(0);
      variance += (n - 1) * error * error * n;
    }
    variance /= total - static_cast<double>(parts.size());
    group.scores.push_back(
        {.measure = parts.front()->scores[s].measure,
         .value = sum / total,
         .error = known ? std::optional(std::sqrt(variance / total)) : std::nullopt});
  }
  return group;
}

double bleu_of(const Task& task, const TaskAnswers& answers, const std::vector<size_t>& members) {
  std::vector<std::string> said;
  std::vector<std::string> wanted;
  for (const size_t i : members) {
    said.push_back(answers.texts[i]);
    wanted.push_back(task.questions[i].targets.front());
  }
  return corpus_bleu(said, wanted);
}

/// Behind the rows of the parts those of their groups, and of the task as a group of all.
void add_groups(const Task& task, std::vector<TaskSummary>& rows) {
  std::map<std::string, std::vector<const TaskSummary*>> groups;
  std::vector<const TaskSummary*> all;
  for (const TaskSummary& row : rows) {
    all.push_back(&row);
    const std::string_view group = subject_group(row.part);
    if (!group.empty()) groups[task.name + "_" + std::string(group)].push_back(&row);
  }
  std::vector<TaskSummary> summaries;
  TaskSummary top = pooled(task.name, all);
  for (const auto& [name, members] : groups) {
    summaries.push_back(pooled(name, members));
    for (const TaskSummary* member : members) std::erase(top.members, member->name);
    top.members.push_back(name);
  }
  summaries.push_back(std::move(top));
  rows.insert(rows.end(), summaries.begin(), summaries.end());
}

}  // namespace

/// "mmlu_anatomy", "mmlu_anatomy_continuation": as lm-evaluation-harness calls them.
std::string task_row_name(const Task& task, const std::string& part) {
  if (part.empty()) return task.name;
  constexpr std::string_view kVariant = "_continuation";
  if (!task.name.ends_with(kVariant)) return task.name + "_" + part;
  const std::string plain = task.name.substr(0, task.name.size() - kVariant.size());
  return plain + "_" + part + std::string(kVariant);
}

double measure_item(Measure measure, const TaskQuestion& question,
                    const std::vector<RequestScore>& scores) {
  const auto right = [&](const auto& length) {
    return counts_right(question, best_choice(question, scores, length)) ? 1.0 : 0.0;
  };
  switch (measure) {
    case Measure::kAccuracy:
      return right([](const std::string&) { return 1.0; });
    case Measure::kAccuracyNorm:
      return right([](const std::string& c) { return static_cast<double>(python_length(c)); });
    case Measure::kAccuracyBytes:
      return right([](const std::string& c) { return static_cast<double>(c.size()); });
    case Measure::kRightMass:
      return right_mass(question, scores);
    case Measure::kGreedy:
      return scores.front().greedy ? 1.0 : 0.0;
    default:
      return scores.front().log_likelihood;
  }
}

TaskScore aggregate(Measure measure, const std::vector<double>& items,
                    const std::vector<TaskQuestion>& questions, int64_t bootstrap_iterations) {
  TaskScore score{.measure = measure};
  const bool several = items.size() > 1;
  switch (measure) {
    case Measure::kWordPerplexity:
    case Measure::kBytePerplexity:
    case Measure::kBitsPerByte:
      score.value = per_unit(measure, items, questions);
      break;
    case Measure::kPerplexity:
      score.value = std::exp(-mean_of(items));
      if (several && bootstrap_iterations > 0) {
        score.error = bootstrap_error(items, bootstrap_iterations);
      }
      break;
    default:
      score.value = mean_of(items);
      if (several) {
        score.error = deviation(items) / std::sqrt(static_cast<double>(items.size()));
      }
  }
  return score;
}

double measure_answer(Measure measure, const Task& task, const TaskAnswers& answers, size_t item) {
  const TaskQuestion& question = task.questions[item];
  return task.definition.kind == TaskKind::kGenerate
             ? measure_text(measure, question, answers.texts[item])
             : measure_item(measure, question, answers.scores[item]);
}

std::vector<TaskSummary> summarize_task(const Task& task, const TaskAnswers& answers,
                                        int64_t bootstrap_iterations) {
  std::map<std::string, std::vector<size_t>> parts;
  for (size_t i = 0; i < task.questions.size(); ++i) {
    parts[task.questions[i].part].push_back(i);
  }
  std::vector<TaskSummary> rows;
  for (const auto& [part, members] : parts) {
    TaskSummary row{.name = task_row_name(task, part),
                    .part = part,
                    .is_group = false,
                    .items = static_cast<int64_t>(members.size()),
                    .scores = {}};
    std::vector<TaskQuestion> questions;
    for (const size_t i : members) questions.push_back(task.questions[i]);
    for (const Measure measure : task.definition.measures) {
      if (measure == Measure::kBleu) {
        row.scores.push_back({.measure = measure, .value = bleu_of(task, answers, members)});
        continue;
      }
      std::vector<double> items;
      for (const size_t i : members) items.push_back(measure_answer(measure, task, answers, i));
      row.scores.push_back(aggregate(measure, items, questions, bootstrap_iterations));
    }
    rows.push_back(std::move(row));
  }
  if (rows.size() == 1 && rows.front().name == task.name) return rows;
  add_groups(task, rows);
  return rows;
}

}  // namespace regroup
