#include "run_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "estimate.h"
#include "prepare.h"
#include "regroup/checkpoint/digest.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/checkpoint/text.h"
#include "regroup/model/load.h"
#include "regroup/model/ops.h"
#include "regroup/model/runtime.h"
#include "regroup/uptrain/trainable.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& path = {},
                         const std::string& hint = {}) {
  throw ConfigError({.code = code, .message = message, .path = path, .tensor = {}, .hint = hint});
}

/// Fills in what depends on the model.
void resolve_options(UptrainOptions& options, const ModelConfig& config,
                     const TrainObserver& observer) {
  const int64_t longest = longest_context(config);
  if (options.seq_len == 0) options.seq_len = std::min<int64_t>(longest, 2048);
  if (options.seq_len > longest && observer.warned) {
    observer.warned(fmt::format("--seq-len {} exceeds the model's longest context, {}",
                                options.seq_len, longest));
  }
  if (options.micro_batch_size == 0) options.micro_batch_size = options.batch_size;
  options.micro_batch_size = std::min(options.micro_batch_size, options.batch_size);
}

/// A budget in tokens becomes whole steps. People are told when that is no mere rounding.
void warn_of_rounding(const UptrainOptions& options, int64_t steps, const TrainObserver& observer) {
  const std::optional<double> asked = options.budget.asked_tokens();
  if (!asked || !observer.warned) return;
  const double given =
      static_cast<double>(steps) * static_cast<double>(options.batch_size * options.seq_len);
  if (std::abs(given - *asked) <= 0.1 * *asked) return;
  observer.warned(fmt::format(
      "the budget of {} tokens becomes {} in {} whole step{} of {} x {}; a smaller {} is closer",
      human_count(*asked), human_count(given), steps, steps == 1 ? "" : "s", options.batch_size,
      options.seq_len, options.batch_size > 1 ? "--batch-size" : "--seq-len"));
}

/// A schedule that ends at 0 leaves a run of one step nothing.
void warn_of_standstill(const Schedule& schedule, const TrainObserver& observer) {
  if (schedule.steps > 1 || schedule.learning_rate(1) > 1e-9 * schedule.peak || !observer.warned)
    return;
  observer.warned(
      "the schedule is at its end, learning rate 0, in the only step: nothing is trained; use "
      "--schedule constant, --min-lr or more steps");
}

/// Refuses what is out of reach before weights are read, and warns where it is close: the estimate is one.
void require_room(const UptrainOptions& options, const ModelConfig& config, at::Device device,
                  const TrainObserver& observer) {
  std::optional<ModelConfig> teacher;
  if (!options.teacher.empty() && options.teacher_cache.empty()) {
    require_model_folder(options.teacher);
    teacher = read_model_config(options.teacher + "/config.json");
  }
  const char* hint =
      "use a smaller --batch-size, --micro-batch-size or --seq-len, --activation-checkpointing, "
      "--precision "
      "bf16, or "
      "--train attention";
  const auto warning = require_memory(estimate_run_bytes(config, options, teacher), device, hint);
  if (warning && observer.warned) observer.warned(*warning);
}

/// OUT, locked for this process, and what becomes of the run in it.
struct Claim {
  FileDescriptor lock;
  bool replaces = false;  ///< the run in OUT is dropped once the new one has passed every check
};

/// Creates OUT, or takes over what an earlier run left there. Drops nothing yet.
Claim claim_output(const UptrainOptions& options) {
  const std::string& out = options.out;
  std::vector<std::string> inputs = options.data;
  inputs.insert(inputs.end(), {options.model, options.valid, options.teacher});
  check_output_place(out, inputs);
  // A recipe alone may be anybody's. The lock stays in every folder that a run was ever in, and a copy
  // made without hidden files still has the metrics.
  const bool ours = path_exists(out + "/recipe.toml") &&
                    (path_exists(out + "/.lock") || path_exists(out + "/metrics.jsonl"));
  if (path_exists(out) && !ours) {
    refuse("OUTPUT_EXISTS", "must not exist, and holds no run of regroup uptrain", out,
           "choose another name");
  }
  const bool complete = path_exists(out + "/model");
  if (complete && !options.overwrite) {
    refuse("OUTPUT_EXISTS", "holds a finished run", out,
           "choose another name, or give --overwrite");
  }
  if (options.resume == ResumeMode::kRequired && !ours) {
    refuse("PARTIAL_MISSING", "must hold an interrupted run, as --resume required asks", out,
           "leave out --resume to start anew");
  }
  make_folder(out);
  Claim claim{.lock = lock_folder(out),
              .replaces = ours && (complete || options.resume == ResumeMode::kNever)};
  // What makes the folder ours; settings that a run in it contradicts must not replace its own.
  if (!ours) write_file_atomically(out + "/recipe.toml", options.recipe_text);
  return claim;
}

constexpr const char* kData = "/data";
constexpr const char* kNewData = "/data.partial";  // of a run that replaces another one

/// Removes the run in OUT; its tokenized data stays when the new run uses it.
void drop_run(const std::string& out, bool keep_data) {
  // The finished model goes last: killed in between, OUT still holds a run that asks for --overwrite.
  for (const char* name : {"/checkpoints", "/metrics.jsonl", "/tensorboard"}) {
    remove_tree(out + name);
  }
  if (!keep_data) remove_tree(out + kData);
  remove_tree(out + "/model");
}

/// Removes a folder that was not there before, unless the work in it gets under way.
class FreshFolder {
 public:
  explicit FreshFolder(const std::string& path) : path_(path), armed_(!path_exists(path)) {}
  FreshFolder(const FreshFolder&) = delete;
  FreshFolder& operator=(const FreshFolder&) = delete;
  ~FreshFolder() {
    std::error_code error;
    if (armed_) std::filesystem::remove_all(path_, error);
  }
  void keep() { armed_ = false; }

 private:
  std::string path_;
  bool armed_;
};

/// The training data, its texts tokenized into `cache`.
std::unique_ptr<Dataset> open_data(const UptrainOptions& options, int64_t vocab_size,
                                   const std::string& cache) {
  const std::vector<std::string> files = prepare_data(options, vocab_size, cache);
  try {
    return std::make_unique<Dataset>(files, options.token_format, options.seq_len, vocab_size,
                                     options.seed);
  } catch (const CheckpointError& error) {
    ErrorInfo info = error.info();
    // Users know the file that they gave, not the token file made from it.
    const auto file = std::find(files.begin(), files.end(), info.path);
    if (file != files.end()) info.path = options.data[static_cast<size_t>(file - files.begin())];
    throw CheckpointError(info);
  }
}

struct LoadedModel {
  std::unique_ptr<Decoder> decoder;
  std::map<std::string, Dtype> dtypes;
  std::string digest;  // of config and weights: what a resumed run must start from again
};

LoadedModel load_model(const UptrainOptions& options, at::Device device,
                       const TrainObserver& observer) {
  const at::ScalarType dtype = options.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  LoadedModel loaded;
  if (options.init_from_scratch) {
    const std::string path = options.model + "/config.json";
    const ModelConfig config = read_model_config(path);
    loaded.decoder = std::make_unique<Decoder>(config, dtype, device);
    initialize_weights(*loaded.decoder, options.seed);
    const Dtype stored = config.dtype == "bfloat16"  ? Dtype::kBF16
                         : config.dtype == "float16" ? Dtype::kF16
                                                     : Dtype::kF32;
    for (const NamedWeight& w : loaded.decoder->named_weights()) loaded.dtypes[w.name] = stored;
    loaded.digest = sha256_of_file(path);
    return loaded;
  }
  const ModelFolder folder = ModelFolder::open(options.model);
  for (const std::string& warning : folder.warnings()) {
    if (observer.warned) observer.warned(warning);
  }
  loaded.decoder = std::make_unique<Decoder>(load_decoder(folder, dtype, device));
  loaded.dtypes = stored_dtypes(folder);
  loaded.digest = model_digest(folder);
  return loaded;
}

std::unique_ptr<Teacher> open_teacher(const UptrainOptions& options, const ModelConfig& config,
                                      at::Device device, const TrainObserver& observer) {
  auto teacher = std::make_unique<Teacher>(options, config, device);
  for (const std::string& warning : teacher->warnings()) {
    if (observer.warned) observer.warned(warning);
  }
  const int64_t limit = longest_context(teacher->config());
  if (options.seq_len > limit && observer.warned) {
    observer.warned(fmt::format("--seq-len {} exceeds the teacher's longest context, {}",
                                options.seq_len, limit));
  }
  if (options.teacher_cache.empty()) teacher->load();
  return teacher;
}

const char* schedule_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::kConstant:
      return "constant";
    case ScheduleKind::kLinear:
      return "linear";
    case ScheduleKind::kCosine:
      return "cosine";
    case ScheduleKind::kWsd:
      return "wsd";
  }
  return "";
}

/// Settings of what a run may do without; absent where it does.
Json further_settings(const RunSetup& setup) {
  Json settings = Json::object();
  if (setup.options.kv_lr_scale != 1.0) settings["kv_lr_scale"] = setup.options.kv_lr_scale;
  if (!setup.teacher) return settings;
  const DistillationMix mix = mix_of(setup.options);
  settings["teacher_sha256"] = setup.teacher->digest();
  settings["kl_weight"] = mix.kl_weight;
  settings["temperature"] = mix.temperature;
  if (setup.teacher->cache() != nullptr) settings["teacher_top_k"] = top_k_of(setup.options);
  return settings;
}

/// XXH3-128 of the validation ids; "" without a validation text.
std::string fingerprint_of(const std::optional<TokenStream>& stream) {
  if (!stream) return {};
  Xxh3 hash;
  hash.update(std::as_bytes(std::span(stream->ids)));
  return hash.hex();
}

Json settings_of(const UptrainOptions& o, const Schedule& schedule, const std::string& started_from,
                 const Dataset& dataset, const std::optional<TokenStream>& validation) {
  return {{"model_sha256", started_from},
          {"data", dataset.fingerprint()},
          {"valid", fingerprint_of(validation)},
          {"steps", schedule.steps},
          {"seq_len", o.seq_len},
          {"batch_size", o.batch_size},
          {"micro_batch_size", o.micro_batch_size},
          {"lr", o.learning_rate},
          {"min_lr", o.min_learning_rate},
          {"warmup", o.warmup_steps},
          {"schedule", schedule_name(o.schedule)},
          {"weight_decay", o.adamw.weight_decay},
          {"beta1", o.adamw.beta1},
          {"beta2", o.adamw.beta2},
          {"clip_grad_norm", o.adamw.clip_grad_norm},
          {"precision", o.precision},
          {"train", train_scope_name(o.train)},
          {"init_from_scratch", o.init_from_scratch},
          {"seed", o.seed}};
}

void add_teacher_facts(const RunSetup& setup, RunFacts& facts) {
  const UptrainOptions& o = setup.options;
  const Teacher& teacher = *setup.teacher;
  facts.teacher = o.teacher;
  facts.mix = mix_of(o);
  facts.teacher_cache = o.teacher_cache;
  if (teacher.cache() != nullptr) return;  // nothing of it is in memory, and it computes nothing
  facts.teacher_bytes = teacher.own_bytes() + estimate_teacher_bytes(teacher.config(), o);
  facts.shared_bytes = teacher.shared_bytes();
  facts.memory_bytes += facts.teacher_bytes;
  facts.flops_per_token += forward_flops_per_token(teacher.config(), o.seq_len);
}

RunFacts facts_of(const RunSetup& setup) {
  const UptrainOptions& o = setup.options;
  const ModelConfig& config = setup.decoder->config();
  RunFacts facts;
  facts.model = o.model;
  facts.architecture = config.architecture;
  facts.n_heads = config.n_heads;
  facts.n_kv_heads = config.n_kv_heads;
  facts.n_params = count_parameters(config);
  facts.n_trainable = setup.optimizer->n_elements();
  facts.steps = setup.schedule.steps;
  facts.tokens_per_step = o.batch_size * o.seq_len;
  facts.seq_len = o.seq_len;
  facts.data_tokens = setup.dataset->n_tokens();
  facts.epochs = static_cast<double>(facts.steps * o.batch_size) /
                 static_cast<double>(setup.dataset->n_windows());
  facts.flops_per_token = training_flops_per_token(config, o.seq_len, o.train);
  facts.memory_bytes = estimate_training_bytes(config, o, facts.n_trainable);
  facts.device = device_description(setup.decoder->device());
  facts.precision = o.precision;
  if (o.precision == "bf16" && setup.decoder->device().is_cpu() &&
      multiplied_in_float(at::kBFloat16)) {
    facts.precision += " multiplied in fp32 (no bf16 instructions)";
  }
  if (setup.teacher) add_teacher_facts(setup, facts);
  return facts;
}

/// The newest checkpoint. One of other settings is refused, or dropped with its run on --overwrite.
std::optional<TrainingState> load_or_drop(RunSetup& setup, std::vector<std::string>* warnings) {
  const UptrainOptions& options = setup.options;
  const auto open_store = [&] {
    setup.store = std::make_unique<CheckpointStore>(options.out + "/checkpoints", options.model,
                                                    setup.dtypes, options.keep_checkpoints);
  };
  open_store();
  try {
    return setup.store->load_newest(*setup.optimizer, setup.state.settings, warnings);
  } catch (const ConfigError& error) {
    if (!options.overwrite || error.info().code != "CKPT_MISMATCH") throw;
  }
  drop_run(options.out, /*keep_data=*/true);
  open_store();
  return std::nullopt;
}

/// Goes on from the newest checkpoint of the same settings, or starts at step 0.
void find_checkpoint(RunSetup& setup, const TrainObserver& observer) {
  const UptrainOptions& options = setup.options;
  std::vector<std::string> warnings;
  const std::optional<TrainingState> found = load_or_drop(setup, &warnings);
  for (const std::string& warning : warnings) {
    if (observer.warned) observer.warned(warning);
  }
  if (found) {
    setup.state = *found;
    setup.facts.resumed_from = found->step;
    return;
  }
  // A run that was stopped before its first checkpoint starts from the beginning, its records too.
  remove_tree(options.out + "/metrics.jsonl");
  remove_tree(options.out + "/tensorboard");
}

}  // namespace

RunSetup set_up_run(const UptrainOptions& given, const TrainObserver& observer) {
  keep_freed_memory();
  check_options(given);  // whatever can be refused early is
  const at::Device device = open_device(given.device);
  RunSetup setup;
  setup.options = given;
  UptrainOptions& options = setup.options;
  require_model_folder(options.model);
  const ModelConfig config = read_model_config(options.model + "/config.json");
  resolve_options(options, config, observer);
  require_room(options, config, device, observer);
  LoadedModel loaded = load_model(options, device, observer);
  if (!options.teacher.empty()) setup.teacher = open_teacher(options, config, device, observer);
  setup.validation = read_validation(options, config.vocab_size);
  FreshFolder fresh(options.out);
  Claim claim = claim_output(options);
  setup.lock = std::move(claim.lock);
  remove_tree(options.out + kNewData);  // what a killed run left
  FreshFolder new_data(options.out + kNewData);

  setup.dataset =
      open_data(options, config.vocab_size, options.out + (claim.replaces ? kNewData : kData));
  setup.schedule = {.kind = options.schedule,
                    .peak = options.learning_rate,
                    .floor = options.min_learning_rate,
                    .warmup_steps = options.warmup_steps,
                    .steps = options.budget.resolve(options.batch_size * options.seq_len)};
  warn_of_rounding(options, setup.schedule.steps, observer);
  warn_of_standstill(setup.schedule, observer);
  if (!options.teacher_cache.empty()) {
    setup.teacher->use_cache(options, *setup.dataset, setup.schedule.steps * options.batch_size,
                             observer.announced);
  }
  setup.decoder = std::move(loaded.decoder);
  setup.decoder->set_activation_checkpointing(options.activation_checkpointing);
  setup.dtypes = std::move(loaded.dtypes);
  setup.optimizer = std::make_unique<AdamW>(
      choose_trainable(*setup.decoder, options.train, options.kv_lr_scale), options.adamw);
  if (setup.teacher) setup.teacher->share_frozen(*setup.decoder);
  Json settings =
      settings_of(options, setup.schedule, loaded.digest, *setup.dataset, setup.validation);
  settings.update(further_settings(setup));
  setup.state.settings = settings.dump();
  setup.facts = facts_of(setup);
  if (claim.replaces) {
    drop_run(options.out, /*keep_data=*/false);
    if (path_exists(options.out + kNewData)) {
      rename_path(options.out + kNewData, options.out + kData, /*replace=*/false);
    }
  }
  find_checkpoint(setup, observer);
  write_file_atomically(options.out + "/recipe.toml", options.recipe_text);
  fresh.keep();
  return setup;
}

}  // namespace regroup
