#include "regroup/uptrain/trainer.h"

#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "agreement.h"
#include "announcement.h"
#include "estimate.h"
#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"
#include "regroup/model/fused_loss.h"
#include "regroup/model/runtime.h"
#include "regroup/model/text_loss.h"
#include "regroup/model/transfer.h"
#include "run_setup.h"
#include "start_event.h"

namespace regroup {
namespace {

constexpr int64_t kMaxSkippedInARow = 3;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Sums over the micro-batches of a step: float64 scalars on the device, for which nobody has waited.
struct StepSums {
  explicit StepSums(at::Device device)
      : loss(at::zeros({}, at::TensorOptions(at::kDouble).device(device))),
        ce(loss.clone()),
        kl(loss.clone()) {}
  at::Tensor loss;
  at::Tensor ce;
  at::Tensor kl;
};

class Trainer {
 public:
  Trainer(RunSetup& setup, const TrainObserver& observer)
      : setup_(setup), options_(setup.options), processes_(*setup.processes), observer_(observer) {
    if (!processes_.is_first()) return;
    metrics_.emplace(options_.out + "/metrics.jsonl", setup.state.step);
    board_.emplace(options_.out + "/tensorboard", setup.state.step + 1);
  }

  TrainResult run() {
    announce();
    while (setup_.state.step < setup_.schedule.steps) {
      one_step();
      stop_if_asked();
    }
    publish();
    return result();
  }

 private:
  void announce() {
    TrainingState& state = setup_.state;
    const bool resumed = setup_.facts.resumed_from.has_value();
    if (!resumed && setup_.validation) {
      announce_pass(observer_, "validating before the first step",
                    static_cast<int64_t>(setup_.validation->ids.size()),
                    forward_flops_per_token(setup_.decoder->config(), options_.seq_len));
      state.val_loss = state.first_val_loss = validate();
      state.best_val_loss = *state.val_loss;
    }
    setup_.facts.first_val_loss = state.first_val_loss;
    if (resumed) {
      note("resume", state.step, Json::object());
    } else {
      note("start", 0, training_start_json(training_start(setup_)));
    }
    if (observer_.started) observer_.started(setup_.facts);
    if (state.unvalidated) finish_step(*state.unvalidated);
  }

  /// One step, or nothing when it was given up.
  void one_step() {
    const auto start = std::chrono::steady_clock::now();
    TrainingState& state = setup_.state;
    const int64_t step = state.step + 1;
    StepMetrics metrics;
    metrics.step = step;
    metrics.learning_rate = setup_.schedule.learning_rate(step);
    StepSums sums(setup_.decoder->device());
    const int64_t first = state.step * options_.batch_size;
    const bool whole = forward_backward(
        share_of({first, first + options_.batch_size}, processes_.rank(), processes_.size()), sums);
    if (!whole && processes_.alone()) return;
    AdamW& optimizer = *setup_.optimizer;
    // The one wait for the device in a step.
    std::vector<double> seen =
        read_scalars({sums.loss, optimizer.norm_of_share(), sums.ce, sums.kl});
    if (!agree(seen, {.gives_up = !whole, .is_late = is_late()})) return;
    metrics.loss = seen[0];
    if (setup_.teacher) {
      metrics.ce = seen[2];
      metrics.kl = seen[3];
    }
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const StepOutcome outcome =
        optimizer.step(metrics.learning_rate, std::isfinite(metrics.loss) ? seen[1] : kNone);
    metrics.grad_norm = outcome.grad_norm;
    note_skip(outcome.applied, step);
    state.step = step;
    state.tokens += setup_.facts.tokens_per_step;
    state.last_loss = metrics.loss;
    metrics.tokens = state.tokens;
    metrics.step_s = seconds_since(start);
    metrics.tokens_per_s = static_cast<double>(setup_.facts.tokens_per_step) / metrics.step_s;
    train_s_ += metrics.step_s;
    trained_tokens_ += setup_.facts.tokens_per_step;
    finish_step(metrics);
  }

  /// Sums what was seen of a step over the processes: loss, the norm of a share of the gradient, cross-entropy and
  /// divergence.
  /// @return false when one of them has given the step up: then all do
  bool agree(std::vector<double>& seen, const StopRequest& request) {
    if (processes_.alone()) return true;
    seen[1] *= seen[1];
    asked_ = sum_and_agree(processes_, seen, request);
    seen[1] = std::sqrt(seen[1]);
    return !asked_.gives_up;
  }

  /// What comes once the weights have changed: the validation where it is due, records, a checkpoint.
  void finish_step(StepMetrics metrics) {
    TrainingState& state = setup_.state;
    const int64_t step = metrics.step;
    last_ce_ = metrics.ce;
    last_kl_ = metrics.kl;
    const bool last = step == setup_.schedule.steps;
    const bool due = options_.eval_every > 0 && step % options_.eval_every == 0;
    if (setup_.validation && (last || due)) {
      state.unvalidated = metrics;  // for the checkpoint of a run that is stopped meanwhile
      state.val_loss = metrics.val_loss = validate();
      state.unvalidated.reset();
      state.best_val_loss = std::min(state.best_val_loss, *state.val_loss);
      warn_of_rise(step);
    }
    write(metrics);
    const bool save_due = options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0;
    if (save_due && !last) save();
  }

  /// Sums the gradients of this process's samples, and their part of the batch's mean loss.
  /// @return false when the step was given up between two micro-batches: nothing has changed
  bool forward_backward(const SampleRange& samples, StepSums& sums) {
    setup_.optimizer->zero_gradients();
    const int64_t micro = options_.micro_batch_size;
    const double scale = 1.0 / static_cast<double>(setup_.facts.tokens_per_step);
    for (int64_t first = samples.first; first < samples.end; first += micro) {
      if (first > samples.first && gives_up()) return false;
      const int64_t n = std::min(micro, samples.end - first);
      const at::Tensor ids =
          to_device(setup_.dataset->batch(first, n), setup_.decoder->device());  // [n, seq + 1]
      const at::Tensor inputs = ids.narrow(1, 0, options_.seq_len).contiguous();
      const at::Tensor targets = ids.narrow(1, 1, options_.seq_len).flatten();
      const at::Tensor loss = loss_of(first, inputs, targets, scale, sums);
      loss.backward();
      sums.loss.add_(loss.detach());
    }
    return true;
  }

  /// Of one micro-batch from `first_sample` on: inputs [n, seq], targets [n seq].
  at::Tensor loss_of(int64_t first_sample, const at::Tensor& inputs, const at::Tensor& targets,
                     double scale, StepSums& sums) {
    const Decoder& decoder = *setup_.decoder;
    if (!setup_.teacher) {
      const at::Tensor hidden = decoder.hidden(inputs).flatten(0, 1);  // [n seq, hidden]
      return fused_cross_entropy(hidden, decoder.lm_head(), targets, scale);
    }
    // The teacher first: its activations are gone before those of the student are kept.
    const TeacherSignal signal = setup_.teacher->signal(first_sample, inputs);
    const at::Tensor hidden = decoder.hidden(inputs).flatten(0, 1);  // [n seq, hidden]
    const DistillationLoss loss =
        fused_distillation(hidden, decoder.lm_head(), targets, scale, signal, setup_.facts.mix);
    sums.ce.add_(loss.ce);
    sums.kl.add_(loss.kl);
    return loss.loss;
  }

  /// A step without a finite gradient changes nothing; several in a row are no accident.
  void note_skip(bool applied, int64_t step) {
    TrainingState& state = setup_.state;
    if (applied) {
      state.skipped_in_a_row = 0;
      return;
    }
    ++state.skipped;
    ++state.skipped_in_a_row;
    note("skip", step, {{"reason", "loss or gradient is not finite"}});
    if (observer_.warned) {
      observer_.warned(fmt::format("step {}: loss or gradient is not finite; skipped (samples {})",
                                   step, samples_of(step, step)));
    }
    if (state.skipped_in_a_row < kMaxSkippedInARow) return;
    const int64_t first = step - kMaxSkippedInARow + 1;
    throw CheckpointError(
        {.code = "TRAIN_NONFINITE",
         .message = fmt::format("loss or gradient must be finite, but was not in {} steps in a "
                                "row, {} to {}, on samples {} of the data",
                                kMaxSkippedInARow, first, step, samples_of(first, step)),
         .path = options_.out,
         .hint = "lower `lr`, raise `warmup`, or look at the data of these samples"});
  }

  /// "8..15": the samples of steps [first, last], counted over the whole run.
  std::string samples_of(int64_t first, int64_t last) const {
    return fmt::format("{}..{}", (first - 1) * options_.batch_size, last * options_.batch_size - 1);
  }

  /// Once a run: training that makes the model worse is what people must hear of early.
  void warn_of_rise(int64_t step) {
    const TrainingState& state = setup_.state;
    if (warned_of_rise_ || !observer_.warned || !state.first_val_loss) return;
    if (*state.val_loss <= *state.first_val_loss) return;
    warned_of_rise_ = true;
    observer_.warned(
        fmt::format("step {}: the validation loss {:.4f} is above the {:.4f} before the first "
                    "step; where it stays "
                    "there, lower `lr` ({}), or look whether `data` and `valid` are of one kind",
                    step, *state.val_loss, *state.first_val_loss, setup_.schedule.peak));
  }

  /// Mean nats a token of the validation text. Left where a stop is asked for: it may take longer than who asks will wait.
  double validate() {
    bool left = false;
    std::vector<double> nats = {
        text_nats(*setup_.decoder, *setup_.validation, options_.seq_len,
                  options_of_each(options_, processes_.size()).micro_batch_size,
                  {processes_.rank(), processes_.size()}, [&] {
                    left = gives_up();
                    return !left;
                  })};
    if (!processes_.alone()) {
      asked_ = sum_and_agree(processes_, nats, {.gives_up = left, .is_late = is_late()});
      left = asked_.gives_up;
    }
    if (left) stop();
    return nats[0] / static_cast<double>(setup_.validation->ids.size() - 1);
  }

  void write(const StepMetrics& metrics) {
    if (!processes_.is_first()) return;
    metrics_->step(metrics);
    board_->scalar("train/loss", metrics.loss, metrics.step);
    board_->scalar("train/lr", metrics.learning_rate, metrics.step);
    board_->scalar("train/grad_norm", metrics.grad_norm, metrics.step);
    board_->scalar("train/tokens_per_s", metrics.tokens_per_s, metrics.step);
    if (metrics.ce) board_->scalar("train/ce", *metrics.ce, metrics.step);
    if (metrics.kl) board_->scalar("train/kl", *metrics.kl, metrics.step);
    if (metrics.val_loss) board_->scalar("valid/loss", *metrics.val_loss, metrics.step);
    board_->flush();
    if (observer_.stepped) observer_.stepped(metrics, setup_.schedule.steps);
  }

  /// An event of metrics.jsonl.
  void note(const std::string& event, int64_t step, const Json& facts) {
    if (metrics_) metrics_->event(event, step, facts);
  }

  void save() {
    const std::map<std::string, at::Tensor> buffers = setup_.optimizer->state();
    processes_.first_does([&] { setup_.store->save(*setup_.decoder, buffers, setup_.state); });
    note("checkpoint", setup_.state.step, Json::object());
    if (observer_.noted) {
      observer_.noted(fmt::format("checkpoint at step {}", setup_.state.step));
    }
  }

  bool is_late() const {
    return options_.max_minutes > 0 && seconds_since(start_) > 60 * options_.max_minutes;
  }

  /// Whether a step or a validation that has begun is left. By the clock only once this process has finished one: steps longer
  /// than --max-minutes would never end.
  bool gives_up() const { return stop_signal() != 0 || (trained_tokens_ > 0 && is_late()); }

  /// Several processes stop for what all of them have heard of.
  void stop_if_asked() {
    const bool last = setup_.state.step == setup_.schedule.steps;
    const bool asked = processes_.alone() ? stop_signal() != 0 || is_late() : asked_.any();
    if (!last && asked) stop();
  }

  [[noreturn]] void stop() {
    if (setup_.state.step > 0) save();
    note("stop", setup_.state.step, Json::object());
    throw_if_stopped(/*resumable=*/true);
    throw StoppedError({.code = "STOPPED",
                        .message = fmt::format("stopped after `max-minutes` at step {} of {}; the "
                                               "checkpoint is complete",
                                               setup_.state.step, setup_.schedule.steps),
                        .path = options_.out,
                        .hint = "run the same command again to go on from here"});
  }

  void publish() {
    const Json method = {{"name", "uptrain"},
                         {"steps", setup_.schedule.steps},
                         {"tokens", setup_.state.tokens},
                         {"settings", Json::parse(setup_.state.settings)}};
    processes_.first_does([&] {
      publish_model(*setup_.decoder, options_.model, options_.out + "/model", setup_.dtypes,
                    method);
      note("end", setup_.state.step, {{"skipped", setup_.state.skipped}});
    });
  }

  TrainResult result() const {
    const TrainingState& state = setup_.state;
    TrainResult result;
    result.steps = state.step;
    result.tokens = state.tokens;
    result.loss = state.last_loss;
    result.ce = last_ce_;
    result.kl = last_kl_;
    result.val_loss = state.val_loss;
    if (state.val_loss) result.best_val_loss = state.best_val_loss;
    result.resumed_from = setup_.facts.resumed_from;
    result.skipped = state.skipped;
    result.learning_rate = setup_.facts.learning_rate;
    result.warmup_steps = setup_.facts.warmup_steps;
    result.rates_chosen = setup_.facts.rates_chosen;
    result.tokens_per_s = train_s_ > 0 ? static_cast<double>(trained_tokens_) / train_s_ : 0;
    result.flops = setup_.facts.flops_per_token * static_cast<double>(state.tokens);
    result.threads = get_threads();
    result.processes = processes_.size();
    result.peak_device_bytes = peak_device_bytes(setup_.decoder->device());
    return result;
  }

  RunSetup& setup_;
  const UptrainOptions& options_;
  Processes& processes_;
  const TrainObserver& observer_;
  std::optional<MetricsFile> metrics_;  // of the first process
  std::optional<TensorBoardWriter> board_;
  StopRequest asked_;  // what all processes have agreed on
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double train_s_ = 0;
  int64_t trained_tokens_ = 0;
  bool warned_of_rise_ = false;
  std::optional<double> last_ce_;
  std::optional<double> last_kl_;
};

}  // namespace

TrainResult uptrain(const UptrainOptions& options, const TrainObserver& observer) {
  return uptrain(options, observer, single_process());
}

TrainResult uptrain(const UptrainOptions& options, const TrainObserver& observer,
                    Processes& processes) {
  const TrainObserver nobody;
  const TrainObserver& told = processes.is_first() ? observer : nobody;
  try {
    RunSetup setup = set_up_run(options, told, processes);
    return Trainer(setup, told).run();
  } catch (const Error& error) {
    processes.leave(error);
    throw;
  } catch (const std::exception& error) {
    processes.leave(Error(ExitCode::kBug, {.code = "BUG", .message = error.what()}));
    throw;
  }
}

}  // namespace regroup
