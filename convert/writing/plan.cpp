#include "regroup/convert/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "layer_changes.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/companions.h"
#include "regroup/checkpoint/kv_heads.h"
#include "regroup/convert/legality.h"
#include "stream.h"

namespace regroup {
namespace {

// What the program takes before it does anything, and LibTorch where it is loaded.
constexpr int64_t kProgramBytes = 10 << 20;
constexpr int64_t kTorchBytes = 180 << 20;

std::string config_dtype(Dtype dtype) {
  return dtype == Dtype::kBF16 ? "bfloat16" : dtype == Dtype::kF16 ? "float16" : "float32";
}

bool is_kv(Role role) {
  return role == Role::kKey || role == Role::kValue || role == Role::kKeyBias ||
         role == Role::kValueBias;
}

bool is_query(Role role) { return role == Role::kQuery || role == Role::kQueryBias; }

/// Gains that belong to single heads move with them; those that all heads share stay.
bool is_gain_of_heads(Role role, const ModelConfig& config) {
  return config.attention.has_gains_of_heads() &&
         (role == Role::kQueryNorm || role == Role::kKeyNorm);
}

/// What a layer's weights become.
struct Decided {
  LayerChanges changes;
  bool new_weights = false;  ///< those of attention, by calibration
};

/// @param plain  what happens to it where no head changes
Action choose_action(Role role, const Decided& decided, const ConversionPlan& plan, Action plain) {
  const bool gain = is_gain_of_heads(role, plan.before);
  const bool kv = is_kv(role) || (gain && role == Role::kKeyNorm);
  const bool query = is_query(role) || (gain && role == Role::kQueryNorm);
  const bool output = role == Role::kOutput;
  if (decided.new_weights && (kv || query || output)) return Action::kReplace;
  if (kv && plan.before.n_kv_heads < plan.after.n_kv_heads) return Action::kRepeat;
  const bool merges = plan.before.n_kv_heads > plan.after.n_kv_heads;
  if (kv) return merges || decided.changes.keys_or_values ? Action::kMerge : plain;
  if (query) return decided.changes.queries ? Action::kFoldQuery : plain;
  if (output) return decided.changes.outputs ? Action::kFoldOutput : plain;
  return plain;
}

bool is_expert(const ExpectedTensor& tensor) { return tensor.rule->each == Dim::kExperts; }

/// Where `role` of `after` is in the parent; of several tensors `tensor` is the first that becomes this one.
PartPlace place_before(Role role, const ExpectedTensor& after, const TensorPlan& tensor,
                       const ConversionPlan& plan) {
  // An expert is where it was, and there are thousands: no list of them all.
  if (is_expert(after)) return {.tensor = after.name, .rows = parts_of(*after.rule, plan.after)[0]};
  PartPlace place = *find_part(plan.before, role, tensor.layer);
  const auto sources = static_cast<int64_t>(place.heads.size());
  if (sources > 0) place.tensor = place.tensor_of(tensor.head * sources / tensor.n_heads);
  return place;
}

/// Dtype and actions of a tensor whose places are known.
void decide_tensor(const ModelFolder& model, const ConversionPlan& plan, const Decided& decided,
                   TensorPlan& tensor) {
  const PartPlace& first = tensor.parts.front().before;
  // A calibrated layer has each role in one tensor, and so in one dtype.
  const std::string& typed = decided.new_weights ? first.tensor_of(0) : first.tensor;
  tensor.spec.dtype = target_dtype(plan.request.dtype).value_or(model.dtype(typed));
  const bool cast = tensor.spec.dtype != model.locate(first.tensor).info->dtype;
  const Action plain = model.is_computed(first.tensor) ? Action::kMake
                       : cast                          ? Action::kCast
                                                       : Action::kCopy;
  for (PartPlan& part : tensor.parts) {
    part.action = tensor.layer < 0 ? plain : choose_action(part.role, decided, plan, plain);
  }
}

TensorPlan plan_tensor(const ModelFolder& model, const ExpectedTensor& after,
                       const ConversionPlan& plan, const Decided& expected) {
  TensorPlan tensor;
  tensor.layer = after.layer;
  if (after.part >= 0 && !is_expert(after)) {
    tensor.head = after.part;
    tensor.n_heads = value_of(after.rule->each, plan.after);
  }
  tensor.spec.name = after.name;
  tensor.spec.shape = after.shape;
  for (const PartRows& rows : parts_of(*after.rule, plan.after)) {
    tensor.parts.push_back(
        {.role = rows.role, .before = place_before(rows.role, after, tensor, plan), .after = rows});
  }
  decide_tensor(model, plan, expected, tensor);
  return tensor;
}

/// The parent's tensor that `tensor` begins with.
TensorLocation source_of(const ModelFolder& model, const TensorPlan& tensor) {
  return model.locate(tensor.parts.front().before.tensor);
}

/// A shard is called as the parent's where that is a safetensors file of the folder itself.
std::string written_shard_name(const std::string& name, size_t index, size_t count) {
  if (name.ends_with(".safetensors") && name.find('/') == std::string::npos) return name;
  return count == 1 ? "model.safetensors"
                    : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

/// Tensors in the order of their bytes in the parent: the sources are then read from front to back.
std::vector<ShardPlan> parent_shards(const ModelFolder& model, const ConversionPlan& plan,
                                     const Decided& expected) {
  std::vector<ShardPlan> shards(model.shards().size());
  for (const ExpectedTensor& after : expected_tensors(plan.after)) {
    TensorPlan tensor = plan_tensor(model, after, plan, expected);
    const size_t shard = source_of(model, tensor).shard;
    shards[shard].tensors.push_back(std::move(tensor));
  }
  const auto earlier = [&](const TensorPlan& a, const TensorPlan& b) {
    const TensorInfo& first = *source_of(model, a).info;
    const TensorInfo& second = *source_of(model, b).info;
    return std::tie(first.begin, first.end, first.name, a.parts.front().before.rows.first) <
           std::tie(second.begin, second.end, second.name, b.parts.front().before.rows.first);
  };
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = written_shard_name(model.shard_names()[i], i, shards.size());
    std::stable_sort(shards[i].tensors.begin(), shards[i].tensors.end(), earlier);
  }
  std::erase_if(shards, [](const ShardPlan& shard) { return shard.tensors.empty(); });
  return shards;
}

/// Filled greedily in the table's order; a tensor above the limit gets a shard of its own.
std::vector<ShardPlan> greedy_shards(const ModelFolder& model, const ConversionPlan& plan,
                                     const Decided& expected) {
  std::vector<ShardPlan> shards;
  int64_t filled = 0;
  for (const ExpectedTensor& after : expected_tensors(plan.after)) {
    TensorPlan tensor = plan_tensor(model, after, plan, expected);
    const int64_t bytes = tensor_bytes(tensor.spec.dtype, tensor.spec.shape);
    if (shards.empty() || filled + bytes > plan.request.max_shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    filled += bytes;
    shards.back().tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

void lay_out(ShardPlan& shard, const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  for (const TensorPlan& tensor : shard.tensors) specs.push_back(tensor.spec);
  shard.prefix = make_safetensors_prefix(specs, metadata);
  shard.bytes = static_cast<int64_t>(shard.prefix.size());
  for (const TensorSpec& spec : specs) shard.bytes += tensor_bytes(spec.dtype, spec.shape);
}

std::string make_index(const std::vector<ShardPlan>& shards) {
  Json map = Json::object();
  int64_t total = 0;
  std::map<std::string, std::string> sorted;
  for (const ShardPlan& shard : shards) {
    for (const TensorPlan& tensor : shard.tensors) {
      sorted[tensor.spec.name] = shard.name;
      total += tensor_bytes(tensor.spec.dtype, tensor.spec.shape);
    }
  }
  for (const auto& [tensor, file] : sorted) map[tensor] = file;
  return Json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n";
}

/// What follows from the tensors: layout of the shards, index, and counts.
void add_up(const ModelFolder& model, ConversionPlan& plan) {
  plan.written_bytes = plan.read_bytes = plan.n_copied = plan.n_changed = 0;
  for (ShardPlan& shard : plan.shards) {
    lay_out(shard, {{"format", "pt"}});  // some readers of transformers 4.x insist on it
    plan.written_bytes += shard.bytes;
    for (const TensorPlan& tensor : shard.tensors) {
      ++(tensor.action() == Action::kCopy ? plan.n_copied : plan.n_changed);
      plan.read_bytes += read_bytes(model, tensor);
    }
  }
  const bool needs_index = plan.shards.size() > 1 || plan.shards[0].name != "model.safetensors";
  if (needs_index) plan.index_text = make_index(plan.shards);
}

/// Two copies of one head in float64, a row block of the output projection, and the pipeline.
int64_t estimate_memory(const ConversionPlan& plan) {
  const ModelConfig& config = plan.before;
  const int64_t head = config.head_dim * config.hidden_size;
  const int64_t streaming = kPipelineBytes + head * (8 + 8 + 4) + kRowBlockBytes * 3;
  if (!needs_transforms(config, plan.request)) return kProgramBytes + streaming;
  const CalibrationOptions& calibration = plan.request.calibration;
  const int64_t deciding = calibration.files.empty()
                               ? merging_memory(config, plan.request.method, calibration)
                               : calibration_memory(config, calibration);
  return kProgramBytes + kTorchBytes + std::max(streaming, deciding);
}

}  // namespace

std::optional<Dtype> target_dtype(const std::string& name) {
  if (name == "keep") return std::nullopt;
  if (name == "bf16") return Dtype::kBF16;
  if (name == "f16") return Dtype::kF16;
  if (name == "f32") return Dtype::kF32;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("`dtype` must be keep, bf16, f16 or f32, found {}", printable(name)),
       .hint = name == "fp32" || name == "float32"
                   ? "write f32"
                   : "leave it out to keep the dtypes of the model"});
}

int64_t read_bytes(const ModelFolder& model, const TensorPlan& tensor) {
  int64_t bytes = 0;
  for (const PartPlan& part : tensor.parts) {
    const std::string& name = part.before.tensor;
    const Dtype dtype =
        model.is_computed(name) ? model.dtype(name) : model.locate(name).info->dtype;
    bytes += tensor_bytes(dtype, {part.before.rows.count, tensor.width()}) / tensor.n_heads;
  }
  return bytes;
}

int64_t TensorPlan::width() const {
  int64_t elements = 1;
  for (const int64_t dimension : spec.shape) elements *= dimension;
  int64_t rows = 0;
  for (const PartPlan& part : parts) rows += part.after.count;
  return elements / rows;
}

bool is_plain(Action action) {
  return action == Action::kCopy || action == Action::kCast || action == Action::kMake;
}

Action TensorPlan::action() const {
  for (const PartPlan& part : parts) {
    if (!is_plain(part.action)) {
      // Of a fused tensor, merging is what there is to say.
      return is_fused() && part.action == Action::kFoldQuery ? Action::kMerge : part.action;
    }
  }
  return parts.front().action;
}

const char* action_name(Action action) {
  switch (action) {
    case Action::kCopy:
      return "copied";
    case Action::kCast:
      return "cast";
    case Action::kMerge:
      return "merged";
    case Action::kRepeat:
      return "repeated";
    case Action::kMake:
      return "made";
    case Action::kFoldQuery:
    case Action::kFoldOutput:
      return "folded";
    case Action::kReplace:
      return "calibrated";
  }
  return "";
}

ConversionPlan plan_conversion(const ModelFolder& model, const ConvertOptions& options) {
  const ModelConfig& parent = model.config();
  require_kv_heads_or_more(parent, options.n_kv_heads);
  const bool open = needs_transforms(parent, options);
  ConversionPlan plan;
  plan.request = open ? options_for(parent, options) : options;
  plan.stored = model.stored_config();
  plan.before = parent;
  plan.after = parent;
  plan.after.n_kv_heads = options.n_kv_heads;
  Decided expected;
  if (open) {
    expected = {.changes = expected_changes(parent, plan.request),
                .new_weights = expects_new_weights(plan.request)};
  }
  plan.shards = options.max_shard_bytes == 0 ? parent_shards(model, plan, expected)
                                             : greedy_shards(model, plan, expected);
  // float64 is cast down even where --dtype does not say so.
  const auto dtype = target_dtype(options.dtype);
  const bool narrows = !dtype && plan.before.dtype == "float64";
  const std::string dtype_word = dtype ? config_dtype(*dtype) : narrows ? "float32" : "";
  plan.config_text = rewrite_config(*plan.before.family, model.written_config_text(),
                                    options.n_kv_heads, dtype_word, model.path() + "/config.json");
  Companions companions = find_companions(model.path());
  plan.copied_files = std::move(companions.files);
  plan.left_out = std::move(companions.left_out);
  plan.peak_memory_bytes = estimate_memory(plan);
  if (open) {
    add_up(model, plan);
  } else {
    Calibrated plain;
    plain.transforms = make_transforms(options.method, parent, options.n_kv_heads);
    settle(plan, model, std::move(plain));
  }
  return plan;
}

void settle(ConversionPlan& plan, const ModelFolder& model, Calibrated decided) {
  if (decided.transforms.size() != static_cast<size_t>(plan.before.n_layers)) {
    throw ConfigError({.code = "TRANSFORM",
                       .message = fmt::format("transforms must be given for {} layers, found {}",
                                              plan.before.n_layers, decided.transforms.size())});
  }
  check_transforms(decided.transforms, plan.before);
  plan.transforms = std::move(decided.transforms);
  plan.weights_folder = std::move(decided.weights_folder);
  plan.layers = std::move(decided.layers);
  plan.gains = decided.gains;
  plan.calibration_tokens = decided.tokens;
  plan.calibration_flops = decided.flops;
  plan.quality = std::move(decided.quality);
  plan.before_distillation = std::move(decided.before_distillation);
  for (ShardPlan& shard : plan.shards) {
    for (TensorPlan& tensor : shard.tensors) {
      Decided layer{.changes = {}, .new_weights = !plan.weights_folder.empty()};
      if (tensor.layer >= 0) {
        layer.changes = changes_of(plan.transforms[static_cast<size_t>(tensor.layer)]);
      }
      decide_tensor(model, plan, layer, tensor);
    }
  }
  add_up(model, plan);
}

}  // namespace regroup
