#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "command.h"
#include "regroup/checkpoint/capacity.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/checkpoint/quantity.h"
#include "regroup/checkpoint/text.h"
#include "table.h"

namespace regroup {
namespace {

struct PlanFlags {
  std::string model;
  std::vector<int64_t> kv_heads;
  std::string context;
  int64_t batch = 1;
  std::string gpu_memory;
  std::string reserve;
  std::string kv_dtype = "bf16";
  std::string weight_dtype = "bf16";
};

CapacityRequest to_request(const PlanFlags& flags, const ModelConfig& config) {
  CapacityRequest request;
  request.kv_heads = flags.kv_heads;
  request.context =
      flags.context.empty() ? config.max_positions : parse_context(flags.context, "--context");
  request.batch = flags.batch;
  if (!flags.gpu_memory.empty()) {
    request.gpu_memory_bytes = parse_size(flags.gpu_memory, "--gpu-memory");
  }
  if (!flags.reserve.empty()) request.reserve_bytes = parse_size(flags.reserve, "--reserve");
  request.kv_bits = storage_bits(flags.kv_dtype);
  request.weight_bits = storage_bits(flags.weight_dtype);
  return request;
}

ModelConfig read_plan_config(const PlanFlags& flags) {
  return read_model_config(is_folder(flags.model) ? flags.model + "/config.json" : flags.model);
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
  return text + fmt::format(
                    " * 2 (K and V) * KV heads * {} (head_dim) * {} bytes ({})\n", config.head_dim,
                    fmt::format("{:g}", static_cast<double>(storage_bits(kv_dtype)) / 8), kv_dtype);
}

std::string plan_text(const ModelConfig& config, const CapacityRequest& request,
                      const CapacityPlan& plan, const PlanFlags& flags) {
  std::string text =
      fmt::format("{}: {} layers, {} query heads, {} KV heads, {} parameters\n",
                  config.architecture, config.n_layers, config.n_heads, config.n_kv_heads,
                  human_count(static_cast<double>(count_parameters(config))));
  text += formula(config, flags.kv_dtype);
  text += fmt::format("context {}, batch {}\n\n", request.context, request.batch);
  const bool limited = request.gpu_memory_bytes.has_value();
  std::vector<std::vector<std::string>> rows = {
      {"KV heads", "group", "KV per token", "KV cache", "weights", "total"}};
  if (limited) rows[0].insert(rows[0].end(), {"fits", "max batch", "max context"});
  for (const CapacityOption& o : plan.options) {
    rows.push_back({std::to_string(o.n_kv_heads), std::to_string(config.n_heads / o.n_kv_heads),
                    human_bytes(o.kv_bytes_per_token), human_bytes(o.kv_bytes),
                    human_bytes(o.weight_bytes), human_bytes(o.total_bytes)});
    if (!limited) continue;
    const bool unbounded = o.max_context == INT64_MAX;
    rows.back().insert(rows.back().end(), {o.fits ? "yes" : "no", std::to_string(o.max_batch),
                                           unbounded ? "any" : std::to_string(o.max_context)});
  }
  text += format_table(rows) + "\n";
  if (plan.recommended) text += fmt::format("recommended: {} KV heads\n", *plan.recommended);
  return text + plan.why + "\n";
}

void check_plan(const PlanFlags& flags, const Globals&) {
  const ModelConfig config = read_plan_config(flags);
  plan_capacity(config, to_request(flags, config));
}

CommandOutput run_plan(const PlanFlags& flags, const Globals&) {
  const ModelConfig config = read_plan_config(flags);
  const CapacityRequest request = to_request(flags, config);
  const CapacityPlan plan = plan_capacity(config, request);
  for (const std::string& warning : plan.warnings) spdlog::warn("{}", warning);
  CommandOutput output;
  output.text = plan_text(config, request, plan, flags);
  output.json = {
      {"model", model_json(config, request.weight_bits)},
      {"context", request.context},
      {"batch", request.batch},
      {"gpu_memory_bytes", request.gpu_memory_bytes ? Json(*request.gpu_memory_bytes) : Json()},
      {"kv_dtype", flags.kv_dtype},
      {"options", Json::array()},
      {"recommended_kv_heads", plan.recommended ? Json(*plan.recommended) : Json()},
      {"why", plan.why},
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
  }
  return output;
}

}  // namespace

void add_plan_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<PlanFlags>(
      root, invocation, "plan", "Which number of KV heads fits a context, a batch and a GPU",
      run_plan, check_plan);
  command->add_option("model,--model", flags->model, "Model folder or config.json")->required();
  command->add_option("--kv-heads", flags->kv_heads, "Numbers to compare; left out: every divisor")
      ->delimiter(',');
  command->add_option("--context", flags->context,
                      "Tokens a sequence, 64k = 65,536; left out: the model's own limit");
  command->add_option("--batch", flags->batch, "Sequences at once")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  command->add_option("--gpu-memory", flags->gpu_memory, "Memory of the GPU, such as 80GiB");
  command->add_option("--reserve", flags->reserve, "Memory to keep free");
  command->add_option("--kv-dtype", flags->kv_dtype, "bf16, f16, f32, fp8, int8 or int4")
      ->capture_default_str();
  command->add_option("--weight-dtype", flags->weight_dtype, "bf16, f16, f32, fp8, int8 or int4")
      ->capture_default_str();
}

}  // namespace regroup
