#include "regroup/results/plan.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "command.h"
#include "flag_names.h"
#include "flag_values.h"
#include "plan_text.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/results/damage.h"
#include "regroup/serving/capacity.h"
#include "regroup/serving/reserve.h"
#include "served_model_flags.h"

namespace regroup {
namespace {

struct PlanFlags {
  ServedModelFlags served;
  std::vector<int64_t> kv_heads;
  std::string context;
  int64_t batch = 1;
  std::string reserve;
  std::string damage;  // what `compare` wrote
  std::optional<double> max_loss_increase;
};

constexpr int64_t kMaxContext = int64_t{1} << 40;

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

std::unique_ptr<Quality> read_quality(const PlanFlags& flags, const CacheLayout& config) {
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
  if (report.n_kv_heads != config.n_kv_heads ||
      report.n_layers != static_cast<int64_t>(config.layers.size()) ||
      report.head_dim != config.head_dim) {
    throw ConfigError(
        {.code = "DAMAGE_MODEL",
         .message = fmt::format(
             "--damage must be of the same model, found {} layers and {} KV heads of "
             "size {} where the model has {}, {} and {}",
             report.n_layers, report.n_kv_heads, report.head_dim,
             static_cast<int64_t>(config.layers.size()), config.n_kv_heads, config.head_dim),
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

/// The model's own limit; where it has none, a context that must be said.
int64_t context_of(const PlanFlags& flags, const CacheLayout& layout) {
  if (!flags.context.empty()) {
    const int64_t context = parse_context(flags.context, "--context");
    if (context <= kMaxContext) return context;
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("--context must be at most 2^40 tokens, found {}", flags.context),
         .hint = "give the tokens of one sequence"});
  }
  if (layout.max_positions > 0) return layout.max_positions;
  throw ConfigError({.code = "FLAG_MISSING",
                     .message = fmt::format("model_type \"{}\" bounds no context, found no "
                                            "--context",
                                            layout.model_type),
                     .hint = "give --context"});
}

CapacityRequest to_request(const PlanFlags& flags, const CacheLayout& layout) {
  CapacityRequest request;
  request.kv_heads = flags.kv_heads;
  request.context = context_of(flags, layout);
  request.batch = flags.batch;
  request.devices = flags.served.tp;
  request.gpu = stated_gpu(flags.served);
  request.gpu_memory_bytes = stated_memory(flags.served);
  request.kv_bits = storage_bits(flags.served.kv_dtype, "--kv-dtype");
  request.weight_bits = storage_bits(flags.served.weight_dtype, "--weight-dtype");
  request.weight_bytes = stated_weight_bytes(flags.served, layout);
  if (flags.reserve == kAutoReserve) {
    request.reserve_bytes = estimate_reserve(layout, request).total();
  } else if (!flags.reserve.empty()) {
    request.reserve_bytes = parse_size(flags.reserve, "--reserve");
  }
  require_memory_left(request);
  return request;
}

PlanModel model_of(const CacheLayout& layout, const CapacityOption& own) {
  PlanModel model{.family = layout.model_type,
                  .n_layers = static_cast<int64_t>(layout.layers.size()),
                  .n_heads = layout.n_heads,
                  .head_dim = layout.head_dim,
                  .hidden_size = layout.hidden_size,
                  .n_params = own.n_params,
                  .weight_bytes = own.weight_bytes};
  if (layout.vocab_size > 0) model.vocab_size = layout.vocab_size;
  for (const CacheLayer& layer : layout.layers) {
    model.attention.emplace_back(name_of(layer.kind));
  }
  return model;
}

PlanDevice device_of(const DeviceShare& device) {
  return {.n_kv_heads = device.n_kv_heads,
          .kv_bytes_per_token = device.kv_bytes_per_token,
          .kv_bytes = device.kv_bytes,
          .weight_bytes = device.weight_bytes,
          .total_bytes = device.total_bytes,
          .divides = device.divides};
}

PlanOption option_of(const CacheLayout& layout, const CapacityRequest& request,
                     const CapacityOption& o, const Quality& quality) {
  PlanOption option{.n_kv_heads = o.n_kv_heads,
                    .kv_bytes_per_token = o.kv_bytes_per_token,
                    .kv_bytes = o.kv_bytes,
                    .weight_bytes = o.weight_bytes,
                    .total_bytes = o.total_bytes,
                    .n_params = o.n_params};
  if (o.n_kv_heads > 0) option.group_size = layout.n_heads / o.n_kv_heads;
  if (request.gpu_memory_bytes) {
    option.fits = o.fits;
    if (o.max_batch != INT64_MAX) option.max_batch = o.max_batch;
    if (o.max_context != INT64_MAX) option.max_context = o.max_context;
  }
  if (request.devices > 1) option.device = device_of(o.device);
  if (o.roofline) {
    option.roofline = PlanRoofline{.bytes = o.roofline->bytes,
                                   .flops = o.roofline->flops,
                                   .seconds = o.roofline->seconds,
                                   .tokens_per_s = o.roofline->tokens_per_s,
                                   .memory_bound = o.roofline->memory_bound};
  }
  if (const DamageEntry* entry = quality.at(o.n_kv_heads)) {
    option.damage = PlanDamage{
        .method = entry->method, .loss_delta = entry->loss_delta.value, .kl = entry->kl.value};
  }
  return option;
}

/// What the model is like before any conversion.
CapacityOption own_option(const CacheLayout& layout, CapacityRequest request) {
  request.kv_heads = {layout.n_kv_heads};
  return plan_capacity(layout, request).options.front();
}

std::optional<Reserve> reserve_of(const PlanFlags& flags, const CacheLayout& layout,
                                  const CapacityRequest& request) {
  if (flags.reserve != kAutoReserve) return std::nullopt;
  return estimate_reserve(layout, request);
}

/// What each choice costs, as the table shows it; empty without measurements.
std::vector<std::string> damage_cells(const CapacityPlan& plan, const Quality& quality) {
  std::vector<std::string> cells;
  for (const CapacityOption& option : plan.options) {
    if (!quality.report) break;
    const DamageEntry* entry = quality.at(option.n_kv_heads);
    cells.push_back(entry ? fmt::format("{:.4f} ({})", entry->loss_delta.value, entry->method)
                          : "-");
  }
  return cells;
}

PlanResult plan_result(const PlanFlags& flags, const CacheLayout& layout,
                       const CapacityRequest& request, const CapacityPlan& plan,
                       const Quality& quality) {
  PlanResult result{.architecture = layout.architecture,
                    .n_kv_heads = layout.n_kv_heads,
                    .context = request.context,
                    .batch = request.batch,
                    .kv_dtype = flags.served.kv_dtype,
                    .gpu_memory_bytes = request.gpu_memory_bytes,
                    .recommended = plan.recommended,
                    .why = with_flags(plan.why),
                    .warnings = plan.warnings,
                    .model = model_of(layout, own_option(layout, request)),
                    .devices = request.devices,
                    .reserve_bytes = request.reserve_bytes,
                    .gpu = request.gpu ? std::string(request.gpu->product) : ""};
  for (const CapacityOption& o : plan.options) {
    result.options.push_back(option_of(layout, request, o, quality));
  }
  if (quality.report) result.damage_why = explain_quality(quality, plan, flags);
  if (flags.max_loss_increase) {
    result.limit = PlanLimit{.max_loss_increase = *flags.max_loss_increase};
    const DamageEntry* smallest = smallest_within(*quality.report, *flags.max_loss_increase);
    if (smallest != nullptr) result.limit->smallest_kv_heads = smallest->n_kv_heads;
  }
  return result;
}

void check_plan(const PlanFlags& flags, const Globals&) {
  const CacheLayout layout = read_served_layout(flags.served);
  plan_capacity(layout, to_request(flags, layout));
  read_quality(flags, layout);
}

CommandOutput run_plan(const PlanFlags& flags, const Globals&) {
  const CacheLayout layout = read_served_layout(flags.served);
  const CapacityRequest request = to_request(flags, layout);
  const std::unique_ptr<Quality> quality = read_quality(flags, layout);
  const CapacityPlan plan = plan_capacity(layout, request);
  for (const std::string& warning : plan.warnings) spdlog::warn("{}", warning);
  CommandOutput output;
  output.text = plan_text({.layout = layout,
                           .request = request,
                           .plan = plan,
                           .kv_dtype = flags.served.kv_dtype,
                           .reserve = reserve_of(flags, layout, request),
                           .damage = damage_cells(plan, *quality),
                           .cost = explain_quality(*quality, plan, flags)});
  output.json = plan_result_json(plan_result(flags, layout, request, plan, *quality));
  return output;
}

}  // namespace

void add_plan_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<PlanFlags>(
      root, invocation, "plan", "Which number of KV heads fits a context, a batch and a GPU",
      run_plan, check_plan);
  add_served_model_flags(*command, flags->served);
  command->add_option("--kv-heads", flags->kv_heads, "Numbers to compare; left out: every divisor")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number());
  command->add_option("--context", flags->context,
                      "Tokens a sequence, 64k = 65,536; left out: the model's own limit");
  command->add_option("--batch", flags->batch, "Sequences at once")
      ->capture_default_str()
      ->check(whole_number(1, int64_t{1} << 24));
  command->add_option(
      "--reserve", flags->reserve,
      "Memory to keep free; auto: an estimate of what a server takes beside weights and cache");
  command
      ->add_option("--damage", flags->damage,
                   "What `compare --out` measured on this model: the cost of each choice")
      ->type_name(kFile);
  command->add_option("--max-loss-increase", flags->max_loss_increase,
                      "Also name the fewest KV heads that cost at most N nats a token");
}

}  // namespace regroup
