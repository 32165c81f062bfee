#include "regroup/eval/probe_results.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/results/paired.h"

namespace regroup {
namespace {

Json cell_json(const ProbeCell& cell, const ProbeScore& score) {
  Json json = {{"length", cell.length}};
  if (cell.depth) json["depth"] = *cell.depth;
  if (cell.count) json["count"] = *cell.count;
  json["trials"] = score.trials;
  json["log_prob"] = score.log_prob;
  json["log_prob_stderr"] = score.log_prob_error;
  json["acc"] = score.accuracy;
  json["acc_stderr"] = score.accuracy_error;
  return json;
}

/// Of all cells together, each as often as it has trials.
ProbeScore whole_score(const EvaluatedProbe& probe, size_t m) {
  ProbeCell all;
  std::vector<RequestScore> scores;
  const auto& cells = *probe.cells[m];
  for (size_t c = 0; c < cells.size(); ++c) {
    if (cells[c].choices != 1) continue;
    all.requests.insert(all.requests.end(), cells[c].requests.begin(), cells[c].requests.end());
    scores.insert(scores.end(), probe.scores[m][c].begin(), probe.scores[m][c].end());
  }
  if (!scores.empty()) return score_cell(all, scores);
  // Cells with as many choices as they have pairs: their means.
  ProbeScore sum;
  for (size_t c = 0; c < cells.size(); ++c) {
    const ProbeScore score = score_cell(cells[c], probe.scores[m][c]);
    const auto n = static_cast<double>(score.trials);
    sum.trials += score.trials;
    sum.log_prob += score.log_prob * n;
    sum.accuracy += score.accuracy * n;
    sum.log_prob_error += score.log_prob_error * score.log_prob_error * n * n;
    sum.accuracy_error += score.accuracy_error * score.accuracy_error * n * n;
  }
  const auto total = static_cast<double>(sum.trials);
  sum.log_prob /= total;
  sum.accuracy /= total;
  sum.log_prob_error = std::sqrt(sum.log_prob_error) / total;
  sum.accuracy_error = std::sqrt(sum.accuracy_error) / total;
  return sum;
}

std::vector<double> all_trials(const EvaluatedProbe& probe, size_t m) {
  std::vector<double> values;
  for (size_t c = 0; c < probe.cells[m]->size(); ++c) {
    const auto trials = trial_log_probs((*probe.cells[m])[c], probe.scores[m][c]);
    values.insert(values.end(), trials.begin(), trials.end());
  }
  return values;
}

/// What the answers stood among: of a needle only.
void add_haystack(const ProbeDefinition& probe, const std::optional<ProbeText>& text,
                  Json& config) {
  if (probe.haystack == Haystack::kNone) return;
  const bool wants_text = probe.haystack == Haystack::kText;
  config["haystack"] = probe.haystack == Haystack::kNeedles ? "needles"
                       : wants_text && text                 ? "text"
                                                            : "noise";
  if (!wants_text) return;
  config["haystack_stands_in"] = !text;  // noise where RULER has essays
  if (!text) return;
  config["haystack_text"] = {
      {"name", text->name}, {"xxh3", text->digest}, {"sentences", text->sentences.size()}};
}

}  // namespace

void add_probe_results(Json& model, size_t m, int64_t baseline,
                       const std::vector<EvaluatedProbe>& probes, const ProbeOptions& options,
                       const std::optional<ProbeText>& text) {
  for (const EvaluatedProbe& evaluated : probes) {
    const auto& cells = *evaluated.cells[m];
    const std::string name(evaluated.probe->name);
    if (cells.empty()) continue;
    const ProbeScore whole = whole_score(evaluated, m);
    Json row = {{"alias", name},
                {"sample_len", whole.trials},
                {"log_prob,none", whole.log_prob},
                {"log_prob_stderr,none", whole.log_prob_error},
                {"acc,none", whole.accuracy},
                {"acc_stderr,none", whole.accuracy_error},
                {"cells", Json::array()}};
    for (size_t c = 0; c < cells.size(); ++c) {
      row["cells"].push_back(cell_json(cells[c], score_cell(cells[c], evaluated.scores[m][c])));
    }
    model["results"][name] = std::move(row);
    model["configs"][name] = {{"task", name},
                              {"output_type", "probe"},
                              {"axis", evaluated.probe->axis},
                              {"passing_log_prob", evaluated.probe->passing},
                              {"trials", options.trials}};
    if (m < evaluated.batch_tokens.size()) {
      model["configs"][name]["batch_tokens"] = evaluated.batch_tokens[m];
    }
    add_haystack(*evaluated.probe, text, model["configs"][name]);
    model["versions"][name] = 1;
    model["n-shot"][name] = 0;
    model["n-samples"][name] = {{"original", whole.trials}, {"effective", whole.trials}};
    model["higher_is_better"][name] = {{"log_prob", true}, {"acc", true}};
    Json& about = model["regroup"]["probes"][name];
    const size_t reference = baseline < 0 ? m : static_cast<size_t>(baseline);
    const auto before = all_trials(evaluated, reference);
    const ProbeScore known = whole_score(evaluated, reference);
    about["baseline_can"] = known.log_prob > evaluated.probe->passing;
    const auto now = all_trials(evaluated, m);
    // Tokens of another tokenizer are other tokens.
    const bool same = evaluated.cells[m] == evaluated.cells[reference];
    if (reference == m || !same || now.size() < 2) continue;
    const PairedDifference found = paired_difference(before, now, /*binary=*/false);
    about["log_prob_delta"] = found.delta;
    about["log_prob_delta_stderr"] = found.error;
    about["ci95"] = {found.low, found.high};
    about["p"] = found.p;
  }
}

}  // namespace regroup
