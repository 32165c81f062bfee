#include "run_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "estimate.h"
#include "prepare.h"
#include "process_checks.h"
#include "rate_choice.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/human_number.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/companions.h"
#include "regroup/checkpoint/config_file.h"
#include "regroup/model/load.h"
#include "regroup/model/ops.h"
#include "regroup/model/runtime.h"
#include "regroup/uptrain/settings.h"
#include "run_output.h"
#include "trainable.h"

namespace regroup {
namespace {

/// Fills in what depends on the model.
void resolve_options(UptrainOptions& options, const ModelConfig& config,
                     const TrainObserver& observer) {
  const int64_t longest = longest_context(config);
  if (options.seq_len == 0) options.seq_len = std::min<int64_t>(longest, 2048);
  if (options.seq_len > longest && observer.warned) {
    observer.warned(fmt::format("`seq-len` {} exceeds the model's longest context, {}",
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
      options.seq_len, options.batch_size > 1 ? "`batch-size`" : "`seq-len`"));
}

/// A schedule that ends at 0 leaves a run of one step nothing.
void warn_of_standstill(const Schedule& schedule, const TrainObserver& observer) {
  if (schedule.steps > 1 || schedule.learning_rate(1) > 1e-9 * schedule.peak || !observer.warned)
    return;
  observer.warned(
      "the schedule is at its end, learning rate 0, in the only step: nothing is trained; use "
      "`schedule` constant, `min-lr` or more steps");
}

/// A peak that the run never reaches.
void warn_of_long_warmup(const Schedule& schedule, const TrainObserver& observer) {
  if (schedule.warmup_steps <= schedule.steps || !observer.warned) return;
  observer.warned(
      fmt::format("`warmup` {} exceeds the {} steps of the run: the learning rate ends at {:.3g} "
                  "and never reaches "
                  "{:.3g}; use a `warmup` below {}",
                  schedule.warmup_steps, schedule.steps, schedule.learning_rate(schedule.steps),
                  schedule.peak, schedule.steps));
}

/// Refuses what is out of reach before weights are read, and warns where it is close: the estimate is one.
void require_room(const RunSetup& setup, const ModelConfig& config, at::Device device,
                  const TrainObserver& observer) {
  const int processes = setup.processes->size();
  const UptrainOptions options = options_of_each(setup.options, processes);
  const bool live = setup.teacher && options.teacher_cache.empty();
  const char* hint =
      "use a smaller `batch-size`, `micro-batch-size` or `seq-len`, `activation-checkpointing`, "
      "`precision` "
      "bf16, or "
      "`train` attention";
  const auto teacher = live ? std::optional(setup.teacher->config()) : std::nullopt;
  const int64_t each =
      estimate_run_bytes(config, options, teacher) - spread_bytes(config, options, processes);
  const int64_t first =
      setup.processes->is_first() ? gathering_bytes(config, options, processes) : 0;
  const auto warning =
      require_memory(each * setup.processes->on_this_machine() + first, device, hint);
  if (warning && observer.warned) observer.warned(*warning);
}

/// What a run starts from: a folder whose headers were read, or a config alone.
struct Source {
  ModelConfig config;
  std::string config_text;
  std::optional<ModelFolder> folder;  // nothing with --init-from-scratch
};

Source open_source(const UptrainOptions& options, const TrainObserver& observer) {
  require_model_folder(options.model);
  if (options.init_from_scratch) {
    const std::string path = options.model + "/config.json";
    const std::string text = open_config_file(path).read_all();
    const ModelConfig config = parse_model_config(text, path);
    const auto warning =
        missing_code_warning(options.model, parse_strict_json(text, path, kConfigJson));
    if (warning && observer.warned) observer.warned(*warning);
    return {config, text, std::nullopt};
  }
  ModelFolder folder = ModelFolder::open(options.model);
  for (const std::string& warning : folder.warnings()) {
    if (observer.warned) observer.warned(warning);
  }
  const ModelConfig config = folder.config();
  const std::string text = folder.config_text();
  return {config, text, std::move(folder)};
}

/// Reads the weights into setup. @return digest of config and weights: what a resumed run must start from
std::string load_model(RunSetup& setup, const Source& source, at::Device device) {
  const UptrainOptions& options = setup.options;
  const ModelConfig& config = source.config;
  const at::ScalarType dtype = options.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  if (source.folder) {
    setup.decoder = std::make_unique<Decoder>(load_decoder(*source.folder, dtype, device));
    setup.dtypes = stored_dtypes(*source.folder);
    const std::string digest = model_digest(*source.folder);
    source.folder->require_unchanged();
    return digest;
  }
  setup.decoder = std::make_unique<Decoder>(config, dtype, device);
  initialize_weights(*setup.decoder, options.seed);
  const Dtype stored = config.dtype == "bfloat16"  ? Dtype::kBF16
                       : config.dtype == "float16" ? Dtype::kF16
                                                   : Dtype::kF32;
  for (const NamedWeight& w : setup.decoder->named_weights()) setup.dtypes[w.name] = stored;
  return sha256_of_text(source.config_text);
}

/// Checks the teacher; its weights are read later.
std::unique_ptr<Teacher> open_teacher(const UptrainOptions& options, const ModelConfig& config,
                                      at::Device device, const TrainObserver& observer) {
  if (options.teacher.empty()) return nullptr;
  auto teacher = std::make_unique<Teacher>(options, config, device);
  for (const std::string& warning : teacher->warnings()) {
    if (observer.warned) observer.warned(warning);
  }
  const int64_t limit = longest_context(teacher->config());
  if (options.seq_len > limit && observer.warned) {
    observer.warned(fmt::format("`seq-len` {} exceeds the teacher's longest context, {}",
                                options.seq_len, limit));
  }
  return teacher;
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

/// The visitor that notes the settings which a run that goes on must share.
struct DecidingSettings {
  Json& json;

  template <typename Value>
  void operator()(const Setting& setting, const Value& field) const {
    if (!setting.decides) return;
    std::string key = setting.name;
    std::replace(key.begin(), key.end(), '-', '_');
    if constexpr (std::is_enum_v<Value>) {
      json[key] = name_of(field);
    } else if constexpr (requires { field.has_value(); }) {
      json[key] = field ? Json(*field) : Json();
    } else {
      json[key] = field;
    }
  }
};

Json settings_of(UptrainOptions o, const Schedule& schedule, const std::string& started_from,
                 const Dataset& dataset, const std::optional<TokenStream>& validation) {
  Json settings = {{"model_sha256", started_from},
                   {"data", dataset.fingerprint()},
                   {"valid", fingerprint_of(validation)},
                   {"steps", schedule.steps}};
  visit_settings(o, DecidingSettings{settings});
  settings.update({{"beta1", o.adamw.beta1}, {"beta2", o.adamw.beta2}, {"seed", o.seed}});
  return settings;
}

void add_teacher_facts(const RunSetup& setup, const UptrainOptions& o, RunFacts& facts) {
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
  const int processes = setup.processes->size();
  const UptrainOptions o = options_of_each(setup.options, processes);
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
  facts.memory_bytes =
      estimate_training_bytes(config, o, facts.n_trainable) - spread_bytes(config, o, processes);
  facts.gathering_bytes = gathering_bytes(config, o, processes);
  facts.device = device_description(setup.decoder->device());
  facts.processes = processes;
  const int64_t least = o.batch_size / facts.processes;
  facts.sequences_each = o.batch_size % facts.processes == 0
                             ? fmt::format("{}", least)
                             : fmt::format("{} or {}", least, least + 1);
  facts.precision = name_of(o.precision);
  if (o.precision == Precision::kBf16 && setup.decoder->device().is_cpu() &&
      multiplied_in_float(at::kBFloat16)) {
    facts.precision += " multiplied in fp32 (no bf16 instructions)";
  }
  if (setup.teacher) add_teacher_facts(setup, o, facts);
  return facts;
}

void open_store(RunSetup& setup) {
  setup.store =
      std::make_unique<CheckpointStore>(setup.options.out + "/checkpoints", setup.options.model,
                                        setup.dtypes, setup.options.keep_checkpoints);
}

/// The newest checkpoint. One of other settings is refused, or dropped with its run on --overwrite.
std::optional<FoundCheckpoint> load_or_drop(RunSetup& setup, RunOutput& output,
                                            std::vector<std::string>* warnings) {
  try {
    return setup.store->find_newest(setup.state.settings, warnings);
  } catch (const ConfigError& error) {
    if (!setup.options.overwrite || error.info().code != "CKPT_MISMATCH") throw;
  }
  output.drop_interrupted();
  open_store(setup);
  return std::nullopt;
}

/// What the first process finds to go on from, of the same settings.
std::optional<FoundCheckpoint> find_checkpoint(RunSetup& setup, RunOutput& output,
                                               const TrainObserver& observer) {
  std::vector<std::string> warnings;
  std::optional<FoundCheckpoint> found = load_or_drop(setup, output, &warnings);
  for (const std::string& warning : warnings) {
    if (observer.warned) observer.warned(warning);
  }
  if (found) return found;
  // A run that was stopped before its first checkpoint starts from the beginning, its records too.
  remove_tree(setup.options.out + "/metrics.jsonl");
  remove_tree(setup.options.out + "/tensorboard");
  return std::nullopt;
}

/// All processes go on from the newest checkpoint, whatever number of them wrote it, or start at step 0.
void go_on(RunSetup& setup, std::optional<RunOutput>& output, const TrainObserver& observer) {
  Processes& processes = *setup.processes;
  std::optional<FoundCheckpoint> found;
  processes.first_prepares([&] { found = find_checkpoint(setup, *output, observer); });
  const std::string text = text_of_first(processes, found ? to_text(found->state) : "");
  if (text.empty()) return;
  setup.state = training_state_of(text);
  setup.facts.resumed_from = setup.state.step;
  setup.optimizer->load_state(found ? found->buffers : std::map<std::string, at::Tensor>());
}

/// The teacher's weights, or its cached answers.
void ready_teacher(RunSetup& setup, const TrainObserver& observer) {
  if (!setup.teacher) return;
  const UptrainOptions& options = setup.options;
  if (options.teacher_cache.empty()) return setup.teacher->load();
  const auto use_cache = [&](bool writes) {
    setup.teacher->use_cache(options, *setup.dataset, setup.schedule.steps * options.batch_size,
                             observer.announced, writes);
  };
  setup.processes->first_prepares([&] { use_cache(true); });
  if (!setup.processes->is_first()) use_cache(false);
}

/// The rates that were left out are chosen with model, data and teacher as the run will have them.
void decide_settings(RunSetup& setup, const std::string& started_from,
                     const TrainObserver& observer) {
  Json settings =
      settings_of(setup.options, setup.schedule, started_from, *setup.dataset, setup.validation);
  settings.update(further_settings(setup));
  Json same = settings;  // and when they meet besides
  same.update({{"eval_every", setup.options.eval_every},
               {"checkpoint_every", setup.options.checkpoint_every}});
  require_same(*setup.processes, same);
  choose_rates(setup, settings, observer);
  setup.state.settings = settings.dump();
  warn_of_standstill(setup.schedule, observer);
  warn_of_long_warmup(setup.schedule, observer);
}

/// The settings of the run, those that were left out as they were chosen.
std::string resolved_recipe(const UptrainOptions& given, const RunSetup& setup) {
  std::string text = given.recipe_text;
  const std::string& why = setup.facts.rates_chosen;
  if (!why.empty()) text += fmt::format("# chosen: {}\n", why);
  if (!given.learning_rate) text += fmt::format("lr={}\n", setup.schedule.peak);
  if (!given.warmup_steps) text += fmt::format("warmup={}\n", setup.schedule.warmup_steps);
  return text;
}

}  // namespace

RunSetup set_up_run(const UptrainOptions& given, const TrainObserver& observer,
                    Processes& processes) {
  keep_freed_memory();
  check_options(given);  // whatever can be refused early is
  const at::Device device = open_device(given.device);
  check_processes(given, processes, device);
  std::optional<RunOutput> output;  // of the first process
  processes.first_prepares([&] { output.emplace(given, observer.announced); });
  const std::string cache = text_of_first(processes, output ? output->data_folder() : "");
  RunSetup setup;
  setup.options = given;
  setup.processes = &processes;
  UptrainOptions& options = setup.options;
  const Source source = open_source(options, observer);
  const ModelConfig& config = source.config;
  resolve_options(options, config, observer);
  setup.teacher = open_teacher(options, config, device, observer);
  require_room(setup, config, device, observer);
  setup.validation = read_validation(options, config.vocab_size);
  setup.dataset = open_data(options, config.vocab_size, cache, observer, processes);
  setup.schedule = {.kind = options.schedule,
                    .floor = options.min_learning_rate,
                    .steps = options.budget.resolve(options.batch_size * options.seq_len)};
  warn_of_rounding(options, setup.schedule.steps, observer);
  const std::string started_from = load_model(setup, source, device);
  ready_teacher(setup, observer);
  setup.decoder->set_activation_checkpointing(options.activation_checkpointing);
  setup.optimizer =
      std::make_unique<AdamW>(choose_trainable(*setup.decoder, options.train, options.kv_lr_scale),
                              options.adamw, processes);
  if (setup.teacher) setup.teacher->share_frozen(*setup.decoder);
  processes.barrier();  // all of them have read what is there
  if (output) {
    output->drop_replaced();
    open_store(setup);
  }
  setup.facts = facts_of(setup);
  decide_settings(setup, started_from, observer);
  go_on(setup, output, observer);
  if (output) setup.lock = output->keep(resolved_recipe(given, setup));
  return setup;
}

}  // namespace regroup
