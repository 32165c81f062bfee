// What a model said, question by question, as lm-evaluation-harness's samples_*.jsonl hold it.
#include "regroup/tasks/harness_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "regroup/tasks/left_out.h"
#include "regroup/text/documents.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

constexpr int64_t kHarnessNewTokens = 256;  // what it takes where a task does not say

/// str() of Python: samples hold numbers as texts.
std::string python_number(double value) {
  const std::string text = fmt::format("{}", value);
  const bool whole = text.find_first_of(".einf") == std::string::npos;
  return whole ? text + ".0" : text;
}

Json finite_json(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json request_json(const Task& task, size_t item, size_t r) {
  const auto& [context, continuation] = task.requests[item][r];
  const TaskQuestion& question = task.questions[item];
  if (task.definition.kind == TaskKind::kRolling) return {{"arg_0", continuation}};
  if (task.definition.kind != TaskKind::kGenerate) {
    return {{"arg_0", context}, {"arg_1", continuation}};
  }
  Json settings = {{"until", question.until}};
  if (question.max_new_tokens != kHarnessNewTokens) {
    settings["max_gen_toks"] = question.max_new_tokens;
  }
  settings["do_sample"] = false;
  settings["temperature"] = 0.0;
  return {{"arg_0", context}, {"arg_1", std::move(settings)}};
}

/// What the model said to each request: [log-likelihood, greedy], a log-likelihood alone, or a text.
Json said_json(const Task& task, const TaskAnswers& answers, size_t item) {
  if (task.definition.kind == TaskKind::kGenerate) return Json::array({answers.texts[item]});
  const bool rolls = task.definition.kind == TaskKind::kRolling;
  Json all = Json::array();
  for (const RequestScore& score : answers.scores[item]) {
    const std::string number = python_number(score.log_likelihood);
    all.push_back(rolls ? Json(number)
                        : Json::array({number, std::string(score.greedy ? "True" : "False")}));
  }
  return all;
}

template <typename Item, typename Text>
std::string python_list(const std::vector<Item>& items, const Text& text) {
  std::string list;
  for (const Item& item : items) list += (list.empty() ? "" : ", ") + text(item);
  return "[" + list + "]";
}

/// str(target)
std::string harness_target(const Task& task, const TaskQuestion& question) {
  const auto& measures = task.definition.measures;
  const auto measures_by = [&](Measure measure) {
    return std::find(measures.begin(), measures.end(), measure) != measures.end();
  };
  if (measures_by(Measure::kRightMass)) return "0";  // it looks at the document
  if (task.definition.kind == TaskKind::kGenerate) {
    return measures_by(Measure::kAliasMatch) || question.targets.size() > 1
               ? python_list(question.targets, [](const auto& t) { return python_repr(t); })
               : question.targets.front();
  }
  if (task.definition.kind != TaskKind::kMultipleChoice || question.contexts.size() > 1) {
    return question.choices.front();
  }
  if (question.gold.size() == 1) return std::to_string(question.gold.front());
  return python_list(question.gold, [](int64_t gold) { return std::to_string(gold); });
}

/// What an item is worth: a list where words or bytes are counted.
Json worth_json(Measure measure, const Task& task, const TaskAnswers& answers, size_t item) {
  const double value = measure_answer(measure, task, answers, item);
  const std::string& counted = task.questions[item].counted;
  switch (measure) {
    case Measure::kGreedy:
      return static_cast<int64_t>(value);
    case Measure::kWordPerplexity:
      return {finite_json(value), count_words(counted)};
    case Measure::kBytePerplexity:
    case Measure::kBitsPerByte:
      return {finite_json(value), counted.size()};
    default:
      return finite_json(value);
  }
}

/// @param measures  which all have the same filter
Json harness_line(const Task& task, const TaskAnswers& answers, size_t item, int64_t id,
                  const std::vector<Measure>& measures) {
  const TaskQuestion& question = task.questions[item];
  const bool writes = task.definition.kind == TaskKind::kGenerate;
  const auto keep = task.definition.kept;
  const Json document =
      keep != nullptr ? keep(task.documents[item], question) : task.documents[item];
  Json arguments = Json::object();
  for (size_t r = 0; r < task.requests[item].size(); ++r) {
    arguments[fmt::format("gen_args_{}", r)] = request_json(task, item, r);
  }
  const std::string prompt = arguments["gen_args_0"]["arg_0"];
  const Json said = said_json(task, answers, item);
  Json repeated = Json::array();
  for (const Json& answer : said) repeated.push_back(Json::array({answer}));
  const std::string target = harness_target(task, question);
  Json line = {{"doc_id", id},
               {"doc", document},
               {"target", target},
               {"arguments", std::move(arguments)},
               {"resps", std::move(repeated)},
               {"filtered_resps", said},
               {"filter", measure_filter(measures.front())},
               {"metrics", Json::array()},
               {"doc_hash", sha256_of_text(harness_json(document, 2))},
               {"prompt_hash", sha256_of_text(prompt)},
               {"target_hash", sha256_of_text(target)}};
  if (writes)
    line["filtered_resps"] = Json::array({filtered_answer(measures.front(), answers.texts[item])});
  for (const Measure measure : measures) {
    if (measure == Measure::kBleu) continue;  // of all answers together
    const std::string name(measure_name(measure));
    line["metrics"].push_back(name);
    line[name] = worth_json(measure, task, answers, item);
  }
  return line;
}

std::vector<std::vector<Measure>> measures_by_filter(std::span<const Measure> measures) {
  std::vector<std::vector<Measure>> groups;
  for (const Measure measure : measures) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return measure_filter(group.front()) == measure_filter(measure);
    });
    if (same == groups.end()) {
      groups.push_back({measure});
    } else {
      same->push_back(measure);
    }
  }
  return groups;
}

}  // namespace

std::string harness_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void visit_harness_samples(const Task& task, const TaskAnswers& answers,
                           const std::function<void(const std::string& row, Json line)>& add) {
  std::map<std::string, std::vector<size_t>> parts;
  for (size_t i = 0; i < task.questions.size(); ++i) parts[task.questions[i].part].push_back(i);
  const auto groups = measures_by_filter(task.definition.measures);
  const std::vector<int64_t> ids = document_ids(task);
  for (const auto& [part, members] : parts) {
    const std::string row = task_row_name(task, part);
    for (const std::vector<Measure>& measures : groups) {
      for (const size_t i : members) add(row, harness_line(task, answers, i, ids[i], measures));
    }
  }
}

void HarnessTaskHash::add(const Json& line) {
  for (const char* key : {"doc_hash", "prompt_hash", "target_hash"}) {
    const std::string& hash = line.at(key).get_ref<const std::string&>();
    hash_.update(std::as_bytes(std::span(hash)));
  }
}

}  // namespace regroup
