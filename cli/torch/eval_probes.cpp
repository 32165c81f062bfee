#include "eval_probes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "eval_tasks.h"
#include "progress.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/eval/request_scorer.h"

namespace regroup {
namespace {

constexpr int64_t kLongest = 8192;  // what a processor bears to be asked by default

int64_t longest_context(const EvalFlags& flags, const ModelConfig& config) {
  const int64_t asked = flags.probe_options.max_length;
  if (asked > config.max_positions) {
    notice(
        fmt::format("--probe-max-length {} is beyond the {} positions that the model is made for",
                    asked, config.max_positions));
  }
  return asked > 0 ? asked : std::min(config.max_positions, kLongest);
}

}  // namespace

std::optional<ProbeText> open_probe_text(const EvalFlags& flags) {
  const std::string& path = flags.probe_options.text;
  return path.empty() ? std::nullopt : std::optional(read_probe_text(path, flags.documents));
}

std::vector<EvaluatedProbe> open_probes(const EvalFlags& flags,
                                        const std::optional<ProbeText>& text, EvalModels& models,
                                        const Globals& globals) {
  std::vector<EvaluatedProbe> probes;
  for (const ProbeDefinition* probe : choose_probes(flags.probes)) {
    probes.push_back({.probe = probe});
  }
  if (probes.empty()) return probes;
  using Key = std::tuple<std::string, int64_t, std::string_view>;  // tokenizer, context, probe
  std::map<Key, std::shared_ptr<const std::vector<ProbeCell>>> known;
  for (size_t m = 0; m < models.all().size(); ++m) {
    const Tokenizer tokenizer = models.open_tokenizer_of(m, flags);
    const ModelConfig& config = models.all()[m].info.config;
    const int64_t longest = longest_context(flags, config);
    for (EvaluatedProbe& probe : probes) {
      throw_if_stopped(/*resumable=*/false);
      auto& cells = known[{models.all()[m].tokenizer, longest, probe.probe->name}];
      if (!cells) {
        const ProbePlace place{.tokenizer = tokenizer,
                               .vocab_size = std::min(tokenizer.vocab_size(), config.vocab_size),
                               .max_length = longest,
                               .trials = flags.probe_options.trials,
                               .seed = globals.seed,
                               .text = text ? &*text : nullptr};
        cells = std::make_shared<const std::vector<ProbeCell>>(probe.probe->make(place));
        if (cells->empty()) {
          notice(fmt::format("probe {}: {} tokens of context are too few to ask it",
                             probe.probe->name, longest));
        }
      }
      probe.cells.push_back(cells);
    }
  }
  return probes;
}

void score_probes(const EvalFlags& flags, EvalModels& models, EvalState& state,
                  std::vector<EvaluatedProbe>& probes, const Globals& globals) {
  for (EvaluatedProbe& probe : probes) probe.scores.resize(models.all().size());
  if (probes.empty()) return;
  for (size_t m = 0; m < models.all().size(); ++m) {
    const std::shared_ptr<const Decoder> decoder = models.decoder(m);
    for (EvaluatedProbe& probe : probes) {
      const auto& cells = *probe.cells[m];
      std::vector<TokenRequest> requests;
      for (const ProbeCell& cell : cells) {
        requests.insert(requests.end(), cell.requests.begin(), cell.requests.end());
      }
      const std::string name = fmt::format("{}.probe.{}", m, probe.probe->name);
      const std::string of =
          models.all().size() > 1 ? printable(models.all()[m].info.path) + " on " : "";
      ProgressLine progress(fmt::format("eval {}{}: ", of, probe.probe->name), globals.quiet);
      std::vector<RequestScore> scores = state.find_requests(name);
      const auto n = static_cast<int64_t>(requests.size());
      const RequestBatching batching = batching_of(flags, requests);
      probe.batch_tokens.push_back(tokens_at_once(batching, decoder->device()));
      score_requests(
          *decoder, requests, batching, scores,
          [&](int64_t done) { state.update_requests(name, scores, done == n); },
          request_progress(progress, n));
      auto next = scores.begin();
      for (const ProbeCell& cell : cells) {
        const auto end = next + static_cast<int64_t>(cell.requests.size());
        probe.scores[m].emplace_back(next, end);
        next = end;
      }
    }
  }
}

}  // namespace regroup
