#include "regroup/eval/probe_results.h"

#include <cmath>

#include "regroup/results/paired.h"

namespace regroup {
namespace {

ProbeCellResult cell_result(const ProbeCell& cell, const ProbeScore& score) {
  return {.length = cell.length,
          .depth = cell.depth,
          .count = cell.count,
          .log_prob = {score.log_prob, score.log_prob_error},
          .accuracy = {score.accuracy, score.accuracy_error},
          .trials = score.trials};
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
                  ProbeResult& result) {
  if (probe.haystack == Haystack::kNone) return;
  const bool wants_text = probe.haystack == Haystack::kText;
  result.haystack = probe.haystack == Haystack::kNeedles ? "needles"
                    : wants_text && text                 ? "text"
                                                         : "noise";
  if (!wants_text) return;
  result.noise_stands_in = !text;  // where RULER has essays
  if (!text) return;
  result.text = HaystackText{.name = text->name,
                             .xxh3 = text->digest,
                             .sentences = static_cast<int64_t>(text->sentences.size())};
}

/// Against the baseline, by the answers to the same questions; nothing where they were asked in other tokens.
std::optional<ProbeDifference> difference(const EvaluatedProbe& probe, size_t m, size_t reference) {
  const auto now = all_trials(probe, m);
  // Tokens of another tokenizer are other tokens.
  const bool same = probe.cells[m] == probe.cells[reference];
  if (reference == m || !same || now.size() < 2) return std::nullopt;
  const PairedDifference found =
      paired_difference(all_trials(probe, reference), now, /*binary=*/false);
  return ProbeDifference{
      .delta = {found.delta, found.error}, .low = found.low, .high = found.high, .p = found.p};
}

}  // namespace

void add_probe_results(ModelResult& model, size_t m, int64_t baseline,
                       const std::vector<EvaluatedProbe>& probes, const ProbeOptions& options,
                       const std::optional<ProbeText>& text) {
  for (const EvaluatedProbe& evaluated : probes) {
    const auto& cells = *evaluated.cells[m];
    if (cells.empty()) continue;
    const ProbeScore whole = whole_score(evaluated, m);
    const size_t reference = baseline < 0 ? m : static_cast<size_t>(baseline);
    ProbeResult result{.name = std::string(evaluated.probe->name),
                       .log_prob = {whole.log_prob, whole.log_prob_error},
                       .accuracy = {whole.accuracy, whole.accuracy_error},
                       .trials = whole.trials,
                       .axis = std::string(evaluated.probe->axis),
                       .passing = evaluated.probe->passing,
                       .trials_of_a_cell = options.trials};
    for (size_t c = 0; c < cells.size(); ++c) {
      result.cells.push_back(cell_result(cells[c], score_cell(cells[c], evaluated.scores[m][c])));
    }
    if (m < evaluated.batch_tokens.size()) result.batch_tokens = evaluated.batch_tokens[m];
    add_haystack(*evaluated.probe, text, result);
    result.baseline_can = whole_score(evaluated, reference).log_prob > evaluated.probe->passing;
    result.difference = difference(evaluated, m, reference);
    model.probes.push_back(std::move(result));
  }
}

}  // namespace regroup
