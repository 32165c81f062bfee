#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

#include "command.h"
#include "flag_values.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/human_number.h"
#include "regroup/base/path.h"
#include "regroup/base/quantity.h"
#include "regroup/base/stop_signal.h"
#include "regroup/text/documents.h"
#include "regroup/uptrain/trainer.h"
#include "resolved_recipe.h"
#include "table.h"
#include "text_flags.h"
#include "torch_part.h"

namespace regroup {
namespace {

struct UptrainFlags {
  std::string model;
  std::string out;
  std::vector<std::string> data;
  std::string valid;
  std::string valid_tokens;
  std::string teacher;
  std::optional<double> kl_weight;
  std::optional<double> temperature;
  std::string teacher_cache;
  std::optional<int64_t> teacher_top_k;
  std::string token_format = "auto";
  TextFlags text;
  std::string steps;
  std::string tokens;
  std::string pretraining_tokens;
  double fraction = 0;
  std::string seq_len;
  int64_t batch_size = 32;
  int64_t micro_batch_size = 0;
  std::optional<double> lr;
  double min_lr = 0;
  std::optional<int64_t> warmup;
  std::string schedule = "cosine";
  double weight_decay = 0.1;
  double clip_grad_norm = 1.0;
  std::string precision = "fp32";
  bool activation_checkpointing = false;
  std::string train = "all";
  double kv_lr_scale = 1;
  int64_t checkpoint_every = 250;
  int64_t keep_checkpoints = 2;
  int64_t eval_every = 0;
  double max_minutes = 0;
  bool init_from_scratch = false;
  std::string resume = "auto";
  bool overwrite = false;
  std::string recipe_text;  // the flags above with their resolved values, as TOML
};

Budget to_budget(const UptrainFlags& flags) {
  Budget budget;
  if (!flags.steps.empty()) budget.steps = parse_count(flags.steps, "--steps");
  if (!flags.tokens.empty()) budget.tokens = parse_count(flags.tokens, "--tokens");
  if (flags.fraction > 0) budget.fraction = flags.fraction;
  if (!flags.pretraining_tokens.empty()) {
    budget.pretraining_tokens = parse_count(flags.pretraining_tokens, "--pretraining-tokens");
  }
  return budget;
}

UptrainOptions to_options(const UptrainFlags& flags, const Globals& globals) {
  UptrainOptions o;
  o.model = flags.model;
  o.out = flags.out;
  o.data = flags.data;
  o.valid = flags.valid;
  if (!flags.valid_tokens.empty()) {
    o.valid_tokens = parse_count(flags.valid_tokens, "--valid-tokens");
  }
  o.teacher = flags.teacher;
  o.kl_weight = flags.kl_weight;
  o.temperature = flags.temperature;
  o.teacher_cache = flags.teacher_cache;
  o.teacher_top_k = flags.teacher_top_k;
  o.token_format = parse_token_format(flags.token_format);
  o.documents = document_options(flags.text);
  o.budget = to_budget(flags);
  if (!flags.seq_len.empty()) o.seq_len = parse_context(flags.seq_len, "--seq-len");
  o.batch_size = flags.batch_size;
  o.micro_batch_size = flags.micro_batch_size;
  o.learning_rate = flags.lr;
  o.min_learning_rate = flags.min_lr;
  o.warmup_steps = flags.warmup;
  o.schedule = parse_schedule(flags.schedule);
  o.adamw.weight_decay = flags.weight_decay;
  o.adamw.clip_grad_norm = flags.clip_grad_norm;
  o.precision = flags.precision;
  o.activation_checkpointing = flags.activation_checkpointing;
  o.train = parse_train_scope(flags.train);
  o.kv_lr_scale = flags.kv_lr_scale;
  o.checkpoint_every = flags.checkpoint_every;
  o.keep_checkpoints = flags.keep_checkpoints;
  o.eval_every = flags.eval_every;
  o.max_minutes = flags.max_minutes;
  o.init_from_scratch = flags.init_from_scratch;
  o.resume = parse_resume_mode(flags.resume);
  o.overwrite = flags.overwrite;
  o.seed = globals.seed;
  o.device = globals.device;
  o.recipe_text = flags.recipe_text;
  return o;
}

std::string banner(const RunFacts& f) {
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
  row("memory", fmt::format("about {}", human_bytes(f.memory_bytes)));
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

Json to_json(const UptrainFlags& flags, const TrainResult& r, double seconds) {
  Json json = {{"out", flags.out},
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
               {"peak_rss_bytes", peak_rss_bytes()}};
  if (r.kl) {
    json["teacher"] = flags.teacher;
    json["ce"] = *r.ce;
    json["kl"] = *r.kl;
  }
  if (r.resumed_from) json["resumed_from"] = *r.resumed_from;
  if (r.peak_device_bytes > 0) json["peak_device_bytes"] = r.peak_device_bytes;
  return json;
}

void check_uptrain(const UptrainFlags& flags, const Globals& globals) {
  check_options(to_options(flags, globals));
}

TrainResult train(const UptrainOptions& options, const TrainObserver& observer) {
  try {
    return run_training(options, observer);
  } catch (const Error& error) {
    // Stopped while it read its data and models: what earlier runs left is as it was.
    const bool resumable = path_exists(options.out + "/checkpoints");
    if (resumable && error.info().code == "INTERRUPTED") throw_if_stopped(resumable);
    throw;
  }
}

CommandOutput run_uptrain(const UptrainFlags& flags, const Globals& globals) {
  const Stopwatch watch;
  StepLine line(globals.quiet);
  warn_if_separator_missing(flags.text, flags.data);
  const TrainObserver observer = {
      .started = [](const RunFacts& facts) { spdlog::info("uptrain\n{}", banner(facts)); },
      .stepped = [&](const StepMetrics& m, int64_t steps) { line.show(m, steps); },
      .announced = [](const std::string& text) { spdlog::info("{}", text); },
      .noted = [](const std::string& text) { spdlog::debug("{}", text); },
      .warned = [](const std::string& text) { spdlog::warn("{}", text); }};
  const TrainResult result = train(to_options(flags, globals), observer);
  CommandOutput output;
  output.json = to_json(flags, result, watch.seconds());
  output.text = fmt::format(
      "{} steps, {} tokens, {:.0f} tokens/s, {:.3g} FLOPs, {} skipped; peak memory {}\n",
      result.steps, human_count(static_cast<double>(result.tokens)), result.tokens_per_s,
      result.flops, result.skipped, human_bytes(peak_rss_bytes()));
  output.text += fmt::format("training loss {:.4f}", result.loss);
  if (result.kl) {
    output.text += fmt::format(" (cross-entropy {:.4f}, KL to {} {:.4f})", *result.ce,
                               flags.teacher, *result.kl);
  }
  if (result.val_loss) {
    output.text += fmt::format(", validation loss {:.4f} (best {:.4f})", *result.val_loss,
                               *result.best_val_loss);
  }
  output.text += fmt::format("\n{}/model\n", flags.out);
  return output;
}

void add_data_flags(CLI::App& command, UptrainFlags& flags) {
  command
      .add_option("--data", flags.data,
                  "Training data: .txt, .jsonl, .json (also .gz, .zst) or token files")
      ->type_name(kFile)
      ->required();
  command.add_option("--valid", flags.valid, "Held-out text or token file")->type_name(kFile);
  command.add_option("--valid-tokens", flags.valid_tokens,
                     "Validate on its first N tokens; left out: all");
  command.add_option("--token-format", flags.token_format, "Format of token files")
      ->type_name(words({"auto", "llmc", "nanogpt"}))
      ->capture_default_str();
  add_text_flags(command, flags.text);
  command.add_option("--steps", flags.steps, "Budget in optimizer steps");
  command.add_option("--tokens", flags.tokens, "Budget in tokens, such as 5M");
  command.add_option("--fraction", flags.fraction, "Budget as a share of --pretraining-tokens")
      ->check(number(1e-9, 100.0));
  command.add_option("--pretraining-tokens", flags.pretraining_tokens,
                     "Tokens the parent was trained on");
  command.add_option("--seq-len", flags.seq_len,
                     "Tokens a window predicts; left out: the model's context, at most 2048");
  command.add_option("--batch-size", flags.batch_size, "Sequences per optimizer step")
      ->capture_default_str()
      ->check(whole_number(1, int64_t{1} << 24));
  command
      .add_option("--micro-batch-size", flags.micro_batch_size,
                  "Sequences at once; 0: the whole batch")
      ->capture_default_str()
      ->check(whole_number(0, int64_t{1} << 24));
}

void add_teacher_flags(CLI::App& command, UptrainFlags& flags) {
  command
      .add_option("--teacher", flags.teacher,
                  "Model to agree with, usually the unconverted parent; in a recipe of run also "
                  "\"parent\"")
      ->type_name(kFolder);
  command.add_option("--kl-weight", flags.kl_weight,
                     "A of (1 - A) cross-entropy + A T^2 KL(teacher || model); left out: 1");
  command.add_option("--temperature", flags.temperature,
                     "T of both distributions in the KL; left out: 1");
  command
      .add_option("--teacher-cache", flags.teacher_cache,
                  "Folder of the teacher's likeliest tokens: filled once, then read by every run "
                  "of the same data, seed and length")
      ->type_name(kFolder);
  command
      .add_option("--teacher-top-k", flags.teacher_top_k,
                  "How many of them a cache keeps at each position; left out: 64")
      ->check(whole_number(1, int64_t{1} << 20));
}

void add_optimizer_flags(CLI::App& command, UptrainFlags& flags) {
  const auto positive = number(1e-12, 1e3);
  command
      .add_option(
          "--lr", flags.lr,
          "Peak learning rate; left out: chosen from what the model has to recover and its width")
      ->check(positive);
  command.add_option("--min-lr", flags.min_lr, "Learning rate at the end")
      ->capture_default_str()
      ->check(number(0.0, 1e3));
  command
      .add_option("--warmup", flags.warmup,
                  "Steps of linear warm-up; left out: 0 with --lr, else a twentieth of the steps, "
                  "at least 5")
      ->check(whole_number(0, int64_t{1} << 40));
  command.add_option("--schedule", flags.schedule, "Learning rate over the steps")
      ->type_name(words({"constant", "linear", "cosine", "wsd"}))
      ->capture_default_str();
  command
      .add_option("--weight-decay", flags.weight_decay, "Of matrices; norms and biases never decay")
      ->capture_default_str()
      ->check(number(0.0, 100.0));
  command.add_option("--clip-grad-norm", flags.clip_grad_norm, "0: no clipping")
      ->capture_default_str()
      ->check(number(0.0, 1e9));
  command
      .add_option(
          "--precision", flags.precision,
          "fp32, or bf16 with float32 master weights; multiplied in fp32 by a processor without "
          "bf16 instructions (AVX512_BF16)")
      ->type_name(words({"fp32", "bf16"}))
      ->capture_default_str();
  command.add_flag("--activation-checkpointing", flags.activation_checkpointing,
                   "Recompute activations in the backward pass: less memory, same bits");
  command
      .add_option("--train", flags.train,
                  "What is trained: all, attention (q, k, v, o) or kv (k and v)")
      ->type_name(words({"all", "attention", "kv"}))
      ->capture_default_str();
  command
      .add_option("--kv-lr-scale", flags.kv_lr_scale,
                  "Learning rate of k and v, as a multiple of the others'")
      ->capture_default_str()
      ->check(number(1e-6, 1e6));
}

void add_run_flags(CLI::App& command, UptrainFlags& flags) {
  const auto count = whole_number(0, int64_t{1} << 40);
  command.add_option("--checkpoint-every", flags.checkpoint_every, "Steps; 0: only when stopped")
      ->capture_default_str()
      ->check(count);
  command
      .add_option("--keep-checkpoints", flags.keep_checkpoints, "How many of the newest to keep")
      ->capture_default_str()
      ->check(whole_number(1, int64_t{1} << 20));
  command
      .add_option("--eval-every", flags.eval_every,
                  "Steps between validations; 0: at the start and the end")
      ->capture_default_str()
      ->check(count);
  command.add_option("--max-minutes", flags.max_minutes, "Stop safely (exit 75) after so long")
      ->check(number(0.0, 1e9));
  command.add_flag("--init-from-scratch", flags.init_from_scratch,
                   "Fresh weights: MODEL gives config and tokenizer only");
  command.add_option("--resume", flags.resume, "An interrupted run in OUT")
      ->type_name(words({"auto", "required", "never"}))
      ->capture_default_str();
  command.add_flag("--overwrite", flags.overwrite,
                   "Drop a run in OUT that is finished or has other settings");
}

}  // namespace

void add_uptrain_command(CLI::App& root, Invocation& invocation) {
  const auto added = add_command<UptrainFlags>(root, invocation, "uptrain",
                                               "Train a checkpoint a little further", run_uptrain);
  CLI::App* command = added.first;
  const std::shared_ptr<UptrainFlags> flags = added.second;
  add_model(*command, flags->model)->required();
  add_out(*command, flags->out, "Folder of the run")->required();
  add_data_flags(*command, *flags);
  add_teacher_flags(*command, *flags);
  add_optimizer_flags(*command, *flags);
  add_run_flags(*command, *flags);
  // The callback of the final pass: the recipe has been read by then. (parse_complete_callback comes
  // before it and would demand flags that the recipe gives.)
  command->final_callback([&invocation, self = command, options = flags] {
    options->recipe_text = resolved_recipe(*invocation.globals, *self);
    invocation.action = [options, globals = invocation.globals] {
      return run_uptrain(*options, *globals);
    };
    invocation.check = [options, globals = invocation.globals] {
      check_uptrain(*options, *globals);
    };
  });
}

}  // namespace regroup
