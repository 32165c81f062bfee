#include "rate_choice.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "announcement.h"
#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"
#include "regroup/model/fused_loss.h"
#include "regroup/model/transfer.h"

namespace regroup {
namespace {

constexpr const char* kWhy = "rates_chosen";  // a setting only of runs that chose
constexpr int64_t kProbeTokens = 8192;
/// Trained models have between a quarter and two fifths of ln(vocabulary) as loss on text of their kind.
constexpr double kTrainedShare = 0.42;
/// Text gives a model more than its loss shows (docs/distillation.md, "Which learning rate").
constexpr double kMinWithoutTeacher = 0.07;

/// The sums of all processes.
StartingPoint summed(Processes& processes, const StartingPoint& mine) {
  if (processes.alone()) return mine;
  const at::Tensor sums = at::zeros({2}, at::kDouble);
  sums[0].fill_(mine.loss);
  sums[1].fill_(mine.kl.value_or(0));
  processes.all_reduce(sums);
  StartingPoint all{.loss = sums[0].item<double>(), .kl = {}};
  if (mine.kl) all.kl = sums[1].item<double>();
  return all;
}

/// Loss and divergence of the run's first samples, of which each process takes some.
StartingPoint measure(const RunSetup& setup, const TrainObserver& observer) {
  const c10::NoGradGuard no_gradients;
  const UptrainOptions& o = setup.options;
  const Decoder& decoder = *setup.decoder;
  const int64_t samples =
      std::min({std::max<int64_t>(1, kProbeTokens / o.seq_len), setup.schedule.steps * o.batch_size,
                setup.dataset->n_windows()});
  const double scale = 1.0 / static_cast<double>(samples * o.seq_len);
  double flops = forward_flops_per_token(decoder.config(), o.seq_len);
  const bool asks = setup.teacher && setup.teacher->cache() == nullptr;
  if (asks) flops += forward_flops_per_token(setup.teacher->config(), o.seq_len);
  announce_pass(observer, "choosing the learning rate", samples * o.seq_len, flops);
  StartingPoint start;
  if (setup.teacher) start.kl = 0;
  const SampleRange mine = share_of({0, samples}, setup.processes->rank(), setup.processes->size());
  for (int64_t first = mine.first; first < mine.end; first += o.micro_batch_size) {
    throw_if_stopped(/*resumable=*/true);  // as before the first step: the same command starts it
    const int64_t n = std::min(o.micro_batch_size, mine.end - first);
    const at::Tensor ids =
        to_device(setup.dataset->batch(first, n), decoder.device());  // [n, seq + 1]
    const at::Tensor inputs = ids.narrow(1, 0, o.seq_len).contiguous();
    const at::Tensor targets = ids.narrow(1, 1, o.seq_len).flatten();
    if (!setup.teacher) {
      const at::Tensor hidden = decoder.hidden(inputs).flatten(0, 1);  // [n seq, hidden]
      start.loss += fused_cross_entropy(hidden, decoder.lm_head(), targets, scale).item<double>();
      continue;
    }
    const TeacherSignal signal = setup.teacher->signal(first, inputs);
    const at::Tensor hidden = decoder.hidden(inputs).flatten(0, 1);
    // Nats a token, whatever the temperature of training; a cache has its answers at that temperature alone.
    const bool cached = !signal.hidden.defined();
    const double temperature = cached ? mix_of(o).temperature : 1.0;
    const DistillationLoss loss =
        fused_distillation(hidden, decoder.lm_head(), targets, scale, signal,
                           {.kl_weight = 1.0, .temperature = temperature});
    const std::vector<double> sums = read_scalars({loss.ce, loss.kl});
    start.loss += sums[0];
    start.kl = *start.kl + temperature * temperature * sums[1];
  }
  return summed(*setup.processes, start);
}

/// A rate that follows from no number is none. Weights that are not finite are refused when they are read; these
/// are, and what is computed with them is not.
void require_finite(const StartingPoint& start, const UptrainOptions& o) {
  const bool by_student = !std::isfinite(start.loss);
  const double found = std::abs(by_student ? start.loss : start.kl.value_or(0));
  if (std::isfinite(found)) return;
  throw CheckpointError(
      {.code = "TRAIN_NONFINITE",
       .message =
           fmt::format("{} on the first samples of the data must be finite before a learning "
                       "rate is chosen from it, found {}",
                       by_student ? "the loss of this model" : "the KL from this teacher", found),
       .path = by_student ? o.model : o.teacher,
       .hint = "check the model with `regroup eval`: its weights may be damaged, or too large for "
               "what is computed with them; `lr` trains it all the same"});
}

std::string reason(const StartingPoint& start, const ModelConfig& config, int64_t tokens_per_step) {
  const std::string sizes = fmt::format("hidden size {}, {} layers, {} tokens a step",
                                        config.hidden_size, config.n_layers, tokens_per_step);
  if (start.kl) {
    return fmt::format("KL from the teacher {:.3g} nats a token before the first step, {}",
                       *start.kl, sizes);
  }
  const double guess = std::log(static_cast<double>(config.vocab_size));
  return fmt::format("loss {:.4g} before the first step, {:.0f} % of ln({}), no teacher, {}",
                     start.loss, 100 * start.loss / guess, config.vocab_size, sizes);
}

/// The settings of an interrupted run in OUT that chose its rates and is otherwise this one.
std::optional<Json> chosen_before(const RunSetup& setup, Json ours) {
  const std::optional<Json> newest =
      setup.store ? setup.store->newest_settings() : std::optional<Json>();
  const std::string text = text_of_first(*setup.processes, newest ? newest->dump() : "");
  if (text.empty()) return std::nullopt;
  const std::optional<Json> stored = Json::parse(text);
  if (!stored->contains(kWhy)) return std::nullopt;
  Json theirs = *stored;
  for (const char* key : {"lr", "warmup", kWhy}) {
    theirs.erase(key);
    ours.erase(key);
  }
  const bool same = nlohmann::json(theirs) == nlohmann::json(ours);  // in whatever order
  return same ? stored : std::nullopt;
}

}  // namespace

double nats_to_recover(const StartingPoint& start, int64_t vocab_size) {
  if (start.kl) return std::max(0.0, *start.kl);
  const double trained = kTrainedShare * std::log(static_cast<double>(vocab_size));
  return std::max(kMinWithoutTeacher, start.loss - trained);
}

double default_learning_rate(double to_recover, const StackSize& size, int64_t tokens_per_step) {
  const double damage = std::pow(std::clamp(to_recover, 0.01, 4.0), 0.8);
  // Adam's rate goes with the root of the batch (arXiv:2205.10287), as far as that was measured.
  const double batch = std::sqrt(std::min(16.0, static_cast<double>(tokens_per_step) / 1024));
  const double width = 256 / static_cast<double>(size.hidden_size);
  // What 5 layers bear where much is lost, 30 do not.
  const double most = 2e-3 * std::min(1.0, std::sqrt(5.0 / static_cast<double>(size.n_layers)));
  const double rate = std::min(most, 5e-4 * damage * batch) * width;
  const double digits = std::pow(10, -std::floor(std::log10(rate)));
  return std::round(rate * digits) / digits;
}

int64_t default_warmup(int64_t steps) {
  return std::min(steps / 2, std::clamp<int64_t>(steps / 20, 5, 200));
}

void choose_rates(RunSetup& setup, Json& settings, const TrainObserver& observer) {
  UptrainOptions& o = setup.options;
  const ModelConfig& config = setup.decoder->config();
  std::string why;
  if (const auto before = chosen_before(setup, settings)) {
    const auto lr = before->at("lr").get<double>();
    const auto warmup = before->at("warmup").get<int64_t>();
    // The resolved recipe of a run gives what it chose: that is the same run.
    const bool same =
        o.learning_rate.value_or(lr) == lr && o.warmup_steps.value_or(warmup) == warmup;
    if (same) {
      o.learning_rate = lr;
      o.warmup_steps = warmup;
      why = before->at(kWhy).get<std::string>();
    }
  }
  if (!o.learning_rate) {
    const StartingPoint start = measure(setup, observer);
    require_finite(start, o);
    const double rate =
        default_learning_rate(nats_to_recover(start, config.vocab_size),
                              {config.hidden_size, config.n_layers}, setup.facts.tokens_per_step);
    o.learning_rate = std::max(rate, o.min_learning_rate);
    if (!o.warmup_steps) o.warmup_steps = default_warmup(setup.schedule.steps);
    why = reason(start, config, setup.facts.tokens_per_step);
  }
  // Who gives a rate has thought about the schedule.
  o.warmup_steps = o.warmup_steps.value_or(0);
  setup.schedule.peak = setup.facts.learning_rate = *o.learning_rate;
  setup.schedule.warmup_steps = setup.facts.warmup_steps = *o.warmup_steps;
  setup.facts.rates_chosen = why;
  settings["lr"] = *o.learning_rate;
  settings["warmup"] = *o.warmup_steps;
  if (!why.empty()) settings[kWhy] = why;
}

}  // namespace regroup
