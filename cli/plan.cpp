#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "command.h"
#include "flag_names.h"
#include "flag_values.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/capacity.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/report/damage.h"
#include "table.h"

namespace regroup {
namespace {

struct PlanFlags {
  std::string model;
  std::vector<int64_t> kv_heads;
  std::string context;
  int64_t batch = 1;
  int64_t tp = 1;
  std::string gpu_memory;
  std::string reserve;
  std::string kv_dtype = "bf16";
  std::string weight_dtype = "bf16";
  std::string damage;  // what `compare` wrote
  std::optional<double> max_loss_increase;
};

/// What conversion costs, where `compare` measured it.
struct Quality {
  std::optional<DamageReport> report;
  std::vector<const DamageEntry*> best;  // of *report

  const DamageEntry* at(int64_t n_kv_heads) const {
    const auto found = std::find_if(best.begin(), best.end(), [&](const DamageEntry* entry) {
      return entry->n_kv_heads == n_kv_heads;
    });
    return found == best.end() ? nullptr : *found;
  }
};

std::unique_ptr<Quality> read_quality(const PlanFlags& flags, const ModelConfig& config) {
  auto quality = std::make_unique<Quality>();
  if (flags.damage.empty()) {
    if (!flags.max_loss_increase) return quality;
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = "--max-loss-increase needs measurements, found no --damage",
                       .hint = "run `regroup compare ... --out damage.json` and give that file"});
  }
  const Json json = read_strict_json(flags.damage, kManifestJson);
  if (!json.is_object() || !is_damage_json(json)) {
    throw ConfigError({.code = "DAMAGE_FILE",
                       .message = "--damage must be what `regroup compare --out` wrote",
                       .path = flags.damage,
                       .hint = "run `regroup compare` first"});
  }
  quality->report = read_damage(json, flags.damage);
  const DamageReport& report = *quality->report;
  if (report.n_kv_heads != config.n_kv_heads || report.n_layers != config.n_layers ||
      report.head_dim != config.head_dim) {
    throw ConfigError({.code = "DAMAGE_MODEL",
                       .message = fmt::format(
                           "--damage must be of the same model, found {} layers and {} KV heads of "
                           "size {} where the model has {}, {} and {}",
                           report.n_layers, report.n_kv_heads, report.head_dim, config.n_layers,
                           config.n_kv_heads, config.head_dim),
                       .path = flags.damage,
                       .hint = "run `regroup compare` on this model"});
  }
  quality->best = best_entries(*quality->report);
  return quality;
}

/// What the measurements say about the choice, as a sentence; empty without them.
std::string explain_quality(const Quality& quality, const CapacityPlan& plan,
                            const PlanFlags& flags) {
  if (!quality.report) return {};
  std::string text;
  if (plan.recommended) {
    if (const DamageEntry* entry = quality.at(*plan.recommended)) {
      text = fmt::format("{} KV heads by {} cost {:.4f} nats a token before any uptraining",
                         entry->n_kv_heads, entry->method, entry->loss_delta.value);
    }
  }
  if (!flags.max_loss_increase) return text;
  if (!text.empty()) text += "; ";
  const DamageEntry* smallest = smallest_within(*quality.report, *flags.max_loss_increase);
  if (smallest == nullptr) {
    return text + fmt::format("no measured conversion costs at most {} nats a token",
                              *flags.max_loss_increase);
  }
  return text +
         fmt::format("the fewest KV heads that cost at most {} nats a token: {} by {} ({:.4f})",
                     *flags.max_loss_increase, smallest->n_kv_heads, smallest->method,
                     smallest->loss_delta.value);
}

void require_memory_left(const CapacityRequest& request) {
  if (!request.gpu_memory_bytes || request.reserve_bytes < *request.gpu_memory_bytes) return;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("--reserve must be less than --gpu-memory, found {} of "
                                            "{}: it leaves nothing",
                                            human_bytes(request.reserve_bytes),
                                            human_bytes(*request.gpu_memory_bytes)),
                     .hint = "reserve less: it is taken from the memory of the GPU"});
}

CapacityRequest to_request(const PlanFlags& flags, const ModelConfig& config) {
  CapacityRequest request;
  request.kv_heads = flags.kv_heads;
  request.context =
      flags.context.empty() ? longest_context(config) : parse_context(flags.context, "--context");
  request.batch = flags.batch;
  request.devices = flags.tp;
  if (!flags.gpu_memory.empty()) {
    request.gpu_memory_bytes = parse_size(flags.gpu_memory, "--gpu-memory");
  }
  if (!flags.reserve.empty()) request.reserve_bytes = parse_size(flags.reserve, "--reserve");
  require_memory_left(request);
  request.kv_bits = storage_bits(flags.kv_dtype, "--kv-dtype");
  request.weight_bits = storage_bits(flags.weight_dtype, "--weight-dtype");
  return request;
}

ModelConfig read_plan_config(const PlanFlags& flags) {
  return read_model_config(config_path_of(flags.model));
}

Json model_json(const ModelConfig& config, int64_t weight_bits) {
  Json attention = Json::array();
  for (const bool sliding : config.sliding_layers)
    attention.push_back(sliding ? "sliding" : "full");
  const int64_t n_params = count_parameters(config);
  return {{"family", config.family->model_type},
          {"architecture", config.architecture},
          {"n_layers", config.n_layers},
          {"n_heads", config.n_heads},
          {"n_kv_heads", config.n_kv_heads},
          {"head_dim", config.head_dim},
          {"hidden_size", config.hidden_size},
          {"vocab_size", config.vocab_size},
          {"n_params", n_params},
          {"weight_bytes", n_params * weight_bits / 8},
          {"attention", attention}};
}

/// The arithmetic, once per kind of layer, so that a reader can redo it.
std::string formula(const ModelConfig& config, const std::string& kv_dtype) {
  const auto sliding = std::count(config.sliding_layers.begin(), config.sliding_layers.end(), true);
  const int64_t full = config.n_layers - sliding;
  std::string text = "KV bytes of a sequence = ";
  if (full > 0) text += fmt::format("{} layers * tokens", full);
  if (full > 0 && sliding > 0) text += " + ";
  if (sliding > 0) {
    text += fmt::format("{} layers * min(tokens, {})", sliding, *config.sliding_window);
  }
  if (full > 0 && sliding > 0) text = "KV bytes of a sequence = (" + text.substr(25) + ")";
  return text +
         fmt::format(
             " * 2 (K and V) * KV heads * {} (head_dim) * {} bytes ({})\n", config.head_dim,
             fmt::format("{:g}", static_cast<double>(storage_bits(kv_dtype, "--kv-dtype")) / 8),
             kv_dtype);
}

std::string plan_text(const ModelConfig& config, const CapacityRequest& request,
                      const CapacityPlan& plan, const PlanFlags& flags, const Quality& quality) {
  std::string text =
      fmt::format("{}: {} layers, {} query heads, {} KV heads, {} parameters\n",
                  config.architecture, config.n_layers, config.n_heads, config.n_kv_heads,
                  human_count(static_cast<double>(count_parameters(config))));
  text += formula(config, flags.kv_dtype);
  text += fmt::format("context {}, batch {}\n\n", request.context, request.batch);
  const bool shared = request.devices > 1;
  const bool limited = request.gpu_memory_bytes.has_value();
  std::vector<std::vector<std::string>> rows = {
      {"KV heads", "group", "KV per token", "KV cache", "weights", "total"}};
  if (shared) {
    rows[0].insert(rows[0].end(), {"a device: KV heads", "KV cache", "weights", "total"});
  }
  if (limited) rows[0].insert(rows[0].end(), {"fits", "max batch", "max context"});
  if (quality.report) rows[0].emplace_back("loss - before");
  for (const CapacityOption& o : plan.options) {
    rows.push_back({std::to_string(o.n_kv_heads), std::to_string(config.n_heads / o.n_kv_heads),
                    human_bytes(o.kv_bytes_per_token), human_bytes(o.kv_bytes),
                    human_bytes(o.weight_bytes), human_bytes(o.total_bytes)});
    if (shared) {
      const DeviceShare& d = o.device;
      rows.back().insert(
          rows.back().end(),
          {d.divides ? std::to_string(d.n_kv_heads) : "does not divide", human_bytes(d.kv_bytes),
           human_bytes(d.weight_bytes), human_bytes(d.total_bytes)});
    }
    if (limited) {
      const bool unbounded = o.max_context == INT64_MAX;
      rows.back().insert(rows.back().end(), {o.fits ? "yes" : "no", std::to_string(o.max_batch),
                                             unbounded ? "any" : std::to_string(o.max_context)});
    }
    if (!quality.report) continue;
    const DamageEntry* entry = quality.at(o.n_kv_heads);
    rows.back().push_back(entry ? fmt::format("{:.4f} ({})", entry->loss_delta.value, entry->method)
                                : "-");
  }
  text += format_table(rows) + "\n";
  if (plan.recommended) text += fmt::format("recommended: {} KV heads\n", *plan.recommended);
  const std::string cost = explain_quality(quality, plan, flags);
  return text + with_flags(plan.why) + "\n" + (cost.empty() ? "" : cost + "\n");
}

void check_plan(const PlanFlags& flags, const Globals&) {
  const ModelConfig config = read_plan_config(flags);
  plan_capacity(config, to_request(flags, config));
  read_quality(flags, config);
}

CommandOutput run_plan(const PlanFlags& flags, const Globals&) {
  const ModelConfig config = read_plan_config(flags);
  const CapacityRequest request = to_request(flags, config);
  const std::unique_ptr<Quality> quality = read_quality(flags, config);
  const CapacityPlan plan = plan_capacity(config, request);
  for (const std::string& warning : plan.warnings) spdlog::warn("{}", warning);
  CommandOutput output;
  output.text = plan_text(config, request, plan, flags, *quality);
  output.json = {
      {"model", model_json(config, request.weight_bits)},
      {"context", request.context},
      {"batch", request.batch},
      {"tp", request.devices},
      {"gpu_memory_bytes", request.gpu_memory_bytes ? Json(*request.gpu_memory_bytes) : Json()},
      {"kv_dtype", flags.kv_dtype},
      {"options", Json::array()},
      {"recommended_kv_heads", plan.recommended ? Json(*plan.recommended) : Json()},
      {"why", with_flags(plan.why)},
      {"warnings", plan.warnings}};
  for (const CapacityOption& o : plan.options) {
    const bool limited = request.gpu_memory_bytes.has_value();
    const auto when_limited = [&](int64_t value) {
      return limited && value != INT64_MAX ? Json(value) : Json();
    };
    output.json["options"].push_back({{"n_kv_heads", o.n_kv_heads},
                                      {"group_size", config.n_heads / o.n_kv_heads},
                                      {"kv_bytes_per_token", o.kv_bytes_per_token},
                                      {"kv_bytes", o.kv_bytes},
                                      {"weight_bytes", o.weight_bytes},
                                      {"n_params", o.n_params},
                                      {"total_bytes", o.total_bytes},
                                      {"fits", limited ? Json(o.fits) : Json()},
                                      {"max_batch", when_limited(o.max_batch)},
                                      {"max_context", when_limited(o.max_context)}});
    if (request.devices > 1) {
      output.json["options"].back()["device"] = {
          {"n_kv_heads", o.device.n_kv_heads},
          {"kv_bytes_per_token", o.device.kv_bytes_per_token},
          {"kv_bytes", o.device.kv_bytes},
          {"weight_bytes", o.device.weight_bytes},
          {"total_bytes", o.device.total_bytes},
          {"divides", o.device.divides}};
    }
    if (const DamageEntry* entry = quality->at(o.n_kv_heads)) {
      output.json["options"].back()["damage"] = {{"method", entry->method},
                                                 {"loss_delta", entry->loss_delta.value},
                                                 {"kl", entry->kl.value}};
    }
  }
  if (quality->report) output.json["damage_why"] = explain_quality(*quality, plan, flags);
  if (flags.max_loss_increase) {
    const DamageEntry* smallest = smallest_within(*quality->report, *flags.max_loss_increase);
    output.json["max_loss_increase"] = *flags.max_loss_increase;
    output.json["smallest_kv_heads"] = smallest ? Json(smallest->n_kv_heads) : Json();
  }
  return output;
}

}  // namespace

void add_plan_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<PlanFlags>(
      root, invocation, "plan", "Which number of KV heads fits a context, a batch and a GPU",
      run_plan, check_plan);
  command->add_option("MODEL,--model", flags->model, "Model folder or config.json")
      ->type_name(kFile)
      ->required();
  command->add_option("--kv-heads", flags->kv_heads, "Numbers to compare; left out: every divisor")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number());
  command->add_option("--context", flags->context,
                      "Tokens a sequence, 64k = 65,536; left out: the model's own limit");
  command->add_option("--batch", flags->batch, "Sequences at once")
      ->capture_default_str()
      ->check(whole_number(1, int64_t{1} << 24));
  command
      ->add_option(
          "--tp", flags->tp,
          "Devices that share the model; KV heads are repeated where there are more devices")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 16));
  command->add_option("--gpu-memory", flags->gpu_memory,
                      "Memory of the GPU, of each one with --tp, such as 80GiB");
  command->add_option("--reserve", flags->reserve, "Memory to keep free");
  command->add_option("--kv-dtype", flags->kv_dtype, "Dtype of the KV cache")
      ->type_name(words({"bf16", "f16", "f32", "fp8", "int8", "int4"}))
      ->capture_default_str();
  command->add_option("--weight-dtype", flags->weight_dtype, "Dtype of the weights")
      ->type_name(words({"bf16", "f16", "f32", "fp8", "int8", "int4"}))
      ->capture_default_str();
  command
      ->add_option("--damage", flags->damage,
                   "What `compare --out` measured on this model: the cost of each choice")
      ->type_name(kFile);
  command->add_option("--max-loss-increase", flags->max_loss_increase,
                      "Also name the fewest KV heads that cost at most N nats a token");
}

}  // namespace regroup
