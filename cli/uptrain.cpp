#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "command.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/human_number.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/uptrain/settings.h"
#include "regroup/uptrain/trainer.h"
#include "resolved_recipe.h"
#include "setting_flags.h"
#include "text_files.h"
#include "torch_part.h"

namespace regroup {
namespace {

/// With the flags that every command has.
UptrainOptions with_globals(UptrainOptions options, const Globals& globals) {
  options.seed = globals.seed;
  options.device = globals.device;
  return options;
}

std::string banner(const RunFacts& f, const std::string& launched_by) {
  const auto count = [](auto n) { return human_count(static_cast<double>(n)); };
  const double tokens = static_cast<double>(f.steps * f.tokens_per_step);
  std::string text;
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("  {:<12} {}\n", name, value);
  };
  row("model", fmt::format("{} ({}, {} query heads, {} KV heads)", f.model, f.architecture,
                           f.n_heads, f.n_kv_heads));
  row("parameters", fmt::format("{}, {} trained", count(f.n_params), count(f.n_trainable)));
  row("budget",
      fmt::format("{} steps x {} tokens = {} tokens ({:.2f} epochs of {})", f.steps,
                  f.tokens_per_step, human_count(tokens), f.epochs, count(f.data_tokens)));
  row("compute",
      fmt::format("{:.3g} FLOPs, {} on {}", f.flops_per_token * tokens, f.precision, f.device));
  if (f.processes > 1) {
    row("processes", fmt::format("{} ({}), {} of the {} sequences of a step each", f.processes,
                                 launched_by, f.sequences_each, f.tokens_per_step / f.seq_len));
  }
  row("memory", fmt::format("about {}{}", human_bytes(f.memory_bytes),
                            f.processes > 1 ? " for each process" : ""));
  if (f.gathering_bytes > 0) {
    row("",
        fmt::format("{} more in the first one at a checkpoint", human_bytes(f.gathering_bytes)));
  }
  row("rate", fmt::format("{} after {} steps of warm-up", f.learning_rate, f.warmup_steps));
  if (!f.rates_chosen.empty()) row("", fmt::format("chosen: {}", f.rates_chosen));
  if (!f.teacher.empty()) {
    row("teacher", fmt::format("{}, KL weight {}, temperature {}", f.teacher, f.mix.kl_weight,
                               f.mix.temperature));
    row("", f.teacher_cache.empty()
                ? fmt::format("{} of the memory; {} of frozen weights are held once for both",
                              human_bytes(f.teacher_bytes), human_bytes(f.shared_bytes))
                : fmt::format("answers from {}", f.teacher_cache));
  }
  if (f.first_val_loss)
    row("valid loss", fmt::format("{:.4f} before the first step", *f.first_val_loss));
  if (f.resumed_from) row("resumed", fmt::format("from step {}", *f.resumed_from));
  return text;
}

/// The line people watch: step, loss, norm, lr, speed, time left.
class StepLine {
 public:
  explicit StepLine(bool quiet) : line_("", quiet) {}
  void show(const StepMetrics& m, int64_t steps) {
    const double left = static_cast<double>(steps - m.step) * average(m.step_s);
    std::string text = fmt::format(
        "step {}/{}  loss {:.4f}  norm {:.3f}  lr {:.2e}  {:.0f} tok/s  {} left", m.step, steps,
        m.loss, m.grad_norm, m.learning_rate, m.tokens_per_s, human_seconds(left));
    if (m.kl) text += fmt::format("  ce {:.4f}  kl {:.4f}", m.ce.value_or(0), *m.kl);
    if (m.val_loss) text += fmt::format("  valid {:.4f}", *m.val_loss);
    line_.text(text, m.step == steps || m.val_loss.has_value());
  }

 private:
  double average(double step_s) {
    smoothed_ = smoothed_ == 0 ? step_s : 0.9 * smoothed_ + 0.1 * step_s;
    return smoothed_;
  }
  ProgressLine line_;
  double smoothed_ = 0;
};

/// How much of a text is tokenized, once it takes seconds.
class TokenizingLine {
 public:
  explicit TokenizingLine(bool quiet) : line_("tokenize:", quiet) {}
  void show(const std::string& path, double read) {
    if (path != path_) {
      path_ = path;
      watch_ = {};
    }
    constexpr double kSeconds = 3;
    constexpr double kAlmost = 0.999;  // there may be more where all was read
    if (watch_.seconds() < kSeconds) return;
    line_.share(std::min(read, kAlmost), watch_.seconds(), printable(path, 60));
  }

 private:
  ProgressLine line_;
  std::string path_;
  Stopwatch watch_;
};

Json to_json(const UptrainOptions& options, const TrainResult& r, double seconds) {
  Json json = {{"out", options.out},
               {"steps", r.steps},
               {"tokens", r.tokens},
               {"loss", r.loss},
               {"val_loss", r.val_loss ? Json(*r.val_loss) : Json()},
               {"best_val_loss", r.best_val_loss ? Json(*r.best_val_loss) : Json()},
               {"tokens_per_s", r.tokens_per_s},
               {"flops", r.flops},
               {"skipped", r.skipped},
               {"lr", r.learning_rate},
               {"warmup", r.warmup_steps},
               {"rates_chosen", r.rates_chosen.empty() ? Json() : Json(r.rates_chosen)},
               {"seconds", seconds},
               {"threads", r.threads},
               {"processes", r.processes},
               {"peak_rss_bytes", peak_rss_bytes()}};
  if (r.kl) {
    json["teacher"] = options.teacher;
    json["ce"] = *r.ce;
    json["kl"] = *r.kl;
  }
  if (r.resumed_from) json["resumed_from"] = *r.resumed_from;
  if (r.peak_device_bytes > 0) json["peak_device_bytes"] = r.peak_device_bytes;
  return json;
}

TrainResult train(const UptrainOptions& options, const Globals& globals,
                  const TrainObserver& observer) {
  try {
    return run_training(options, globals, observer);
  } catch (const Error& error) {
    // Stopped while it read its data and models: what earlier runs left is as it was.
    const bool resumable = path_exists(options.out + "/checkpoints");
    if (resumable && error.info().code == "INTERRUPTED") throw_if_stopped(resumable);
    throw;
  }
}

CommandOutput run_uptrain(const UptrainOptions& options, const Globals& globals) {
  const Stopwatch watch;
  StepLine line(globals.quiet);
  TokenizingLine tokenizing(globals.quiet);
  warn_if_separator_missing(options.documents, options.data);
  const TrainObserver observer = {
      .started =
          [&](const RunFacts& facts) {
            spdlog::info("uptrain\n{}", banner(facts, globals.launch.by));
          },
      .stepped = [&](const StepMetrics& m, int64_t steps) { line.show(m, steps); },
      .tokenizing = [&](const std::string& path, double read) { tokenizing.show(path, read); },
      .announced = [](const std::string& text) { spdlog::info("{}", text); },
      .noted = [](const std::string& text) { spdlog::debug("{}", text); },
      .warned = [](const std::string& text) { spdlog::warn("{}", text); }};
  const TrainResult result = train(options, globals, observer);
  CommandOutput output;
  output.json = to_json(options, result, watch.seconds());
  output.text = fmt::format(
      "{} steps, {} tokens, {:.0f} tokens/s, {:.3g} FLOPs, {} skipped; peak memory {}\n",
      result.steps, human_count(static_cast<double>(result.tokens)), result.tokens_per_s,
      result.flops, result.skipped, human_bytes(peak_rss_bytes()));
  output.text += fmt::format("training loss {:.4f}", result.loss);
  if (result.kl) {
    output.text += fmt::format(" (cross-entropy {:.4f}, KL to {} {:.4f})", *result.ce,
                               options.teacher, *result.kl);
  }
  if (result.val_loss) {
    output.text += fmt::format(", validation loss {:.4f} (best {:.4f})", *result.val_loss,
                               *result.best_val_loss);
  }
  output.text += fmt::format("\n{}/model\n", options.out);
  return output;
}

}  // namespace

void add_uptrain_command(CLI::App& root, Invocation& invocation) {
  CLI::App* command = root.add_subcommand("uptrain", "Train a checkpoint a little further");
  command->fallthrough();
  const auto options = std::make_shared<UptrainOptions>();
  add_model(*command, options->model)->required();
  add_out(*command, options->out, "Folder of the run")->required();
  visit_settings(*options, SettingFlags(*command));
  // The callback of the final pass: the recipe has been read by then. (parse_complete_callback comes
  // before it and would demand flags that the recipe gives.)
  command->final_callback([&invocation, command, options] {
    options->recipe_text = resolved_recipe(*invocation.globals, *command);
    invocation.processes = static_cast<int>(options->processes);
    invocation.process_timeout = std::chrono::seconds(options->process_timeout);
    invocation.action = [options, globals = invocation.globals] {
      return run_uptrain(with_globals(*options, *globals), *globals);
    };
    invocation.check = [options, globals = invocation.globals] {
      check_options(with_globals(*options, *globals));
    };
  });
}

}  // namespace regroup
