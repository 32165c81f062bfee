// Which tensor of the files is which of the table, and names that no table has.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "tensor_check.h"

namespace regroup {
namespace {

/// What stands before the names of a base model where it has its head: "model." for most.
std::string base_of(const ModelFamily& family) {
  const std::string embedding = rule_name(family, Role::kEmbedding);
  return embedding.substr(0, embedding.find('.') + 1);
}

/// The name that a base model without its head is saved with; "" when there is none.
std::string base_name(const ModelFamily& family, const std::string& name) {
  const std::string base = base_of(family);
  return name.starts_with(base) ? name.substr(base.size()) : std::string();
}

/// A base model's tensors, and no other: transformers takes such a folder too.
bool has_base_names(const TensorCheck& check) {
  const ModelFamily& family = *check.config.family;
  const bool usual = std::any_of(
      check.files.begin(), check.files.end(),
      [base = base_of(family)](const auto& file) { return file.first.starts_with(base); });
  return !usual &&
         std::any_of(check.expected.begin(), check.expected.end(), [&](const auto& tensor) {
           return check.files.contains(base_name(family, tensor.name));
         });
}

/// Words that only the names of one kind of weights have.
struct Marker {
  std::string_view word;
  std::string_view what;
  std::string_view hint;
};
constexpr std::string_view kUnquantized = "convert the unquantized model, then quantize the result";
constexpr std::string_view kMerge = "merge it with peft's merge_and_unload and save that model";
constexpr std::string_view kModelType =
    "correct model_type in config.json, or fetch its own weights";
constexpr auto kQuantized = std::to_array<std::string_view>(
    {".qweight", ".qzeros", ".g_idx", ".weight_packed", ".weight_scale", ".weight_scale_inv",
     ".weight.absmax", ".weight.quant_map", ".SCB", ".qscales", ".scales"});
constexpr auto kAdapters = std::to_array<Marker>({
    {".lora_A.", "an adapter that was not merged", kMerge},
    {".base_layer.", "an adapter that was not merged", kMerge},
});
constexpr auto kMarkers = std::to_array<Marker>({
    {"tok_embeddings.weight", "a checkpoint in Meta's own format",
     "convert it with transformers' convert_llama_weights_to_hf.py"},
    {".attention.wqkv.weight", "InternLM2", kModelType},
    {"gpt_neox.", "GPT-NeoX", kModelType},
    {"transformer.h.", "GPT-2, Falcon, Qwen-1 or a relative", kModelType},
    {"transformer.blocks.", "MPT or OLMo", kModelType},
    {"model.decoder.layers.", "OPT or an encoder-decoder", kModelType},
    {"decoder.block.", "T5", kModelType},
    {".block_sparse_moe.", "a mixture of experts", kModelType},
    {".mlp.experts.", "a mixture of experts", kModelType},
});

void refuse_quantized(const TensorCheck& check) {
  for (const auto& [name, location] : check.files) {
    const bool quantized = std::any_of(kQuantized.begin(), kQuantized.end(),
                                       [&](std::string_view end) { return name.ends_with(end); });
    if (!quantized) continue;
    throw UnsupportedError(
        {.code = "CFG_QUANTIZED",
         .message =
             fmt::format("quantized weights are not supported, found tensors such as {}, which "
                         "config.json says nothing of",
                         printable(name)),
         .path = check.shard_paths[location.shard],
         .hint = std::string(kUnquantized)});
  }
}

/// What stands before the table's names; "" when nothing does.
std::string find_prefix(const TensorCheck& check) {
  const ModelFamily& family = *check.config.family;
  for (const Role role : {Role::kEmbedding, Role::kFinalNorm}) {
    const std::string name = rule_name(family, role);
    if (name.empty()) continue;
    for (const std::string& end : {name, base_name(family, name)}) {
      for (const auto& [file, location] : check.files) {
        if (end.empty() || !file.ends_with("." + end)) continue;
        const std::string prefix = file.substr(0, file.size() - end.size());
        const auto behind = std::count_if(
            check.expected.begin(), check.expected.end(), [&](const ExpectedTensor& tensor) {
              return check.files.contains(
                  prefix + (end == name ? tensor.name : base_name(family, tensor.name)));
            });
        if (behind * 2 > static_cast<int64_t>(check.expected.size())) return prefix;
      }
    }
  }
  return {};
}

[[noreturn]] void refuse_prefix(const TensorCheck& check, const std::string& prefix) {
  std::string who = "a wrapper around the model was saved";
  if (prefix.find("_orig_mod.") != std::string::npos) {
    who = "torch.compile puts it there: save what it wraps (model._orig_mod)";
  } else if (prefix == "module.") {
    who = "DistributedDataParallel puts it there: save what it wraps (model.module)";
  } else if (prefix.find("language_model.") != std::string::npos) {
    who = "a multimodal model has it there: save its language model alone";
  }
  throw CheckpointError(
      {.code = "CFG_TENSOR_PREFIX",
       .message =
           fmt::format("names of tensors must be those of {}, found each behind the prefix \"{}\"",
                       check.config.architecture, printable(prefix)),
       .path = check.missing_from,
       .hint = fmt::format("{}, or take \"{}\" off every name with load_file and save_file of "
                           "safetensors.torch",
                           who, printable(prefix))});
}

void refuse_marked(const TensorCheck& check, std::span<const Marker> markers) {
  const auto is_own = [&](std::string_view word) {  // the family's tensors have this in their names
    return std::ranges::any_of(check.config.family->tensors, [&](const TensorRule& rule) {
      return std::string_view(rule.name).find(word) != std::string_view::npos;
    });
  };
  for (const auto& [name, location] : check.files) {
    for (const Marker& marker : markers) {
      if (name.find(marker.word) == std::string::npos || is_own(marker.word)) continue;
      throw CheckpointError(
          {.code = "CFG_TENSOR_MISSING",
           .message = fmt::format("tensors must be those of {} (model_type \"{}\"), found "
                                  "those of {}, such as {}",
                                  check.config.architecture, check.config.family->model_type,
                                  marker.what, printable(name)),
           .path = check.config_path(),
           .hint = std::string(marker.hint)});
    }
  }
}

}  // namespace

std::string rule_name(const ModelFamily& family, Role role) {
  const auto rule = std::find_if(family.tensors.begin(), family.tensors.end(),
                                 [&](const TensorRule& r) { return r.role == role; });
  return rule == family.tensors.end() ? std::string() : std::string(rule->name);
}

PresenceKey key_of(Presence presence, const ModelFamily& family) {
  switch (presence) {
    case Presence::kQkvBias:
      return {family.qkv_bias.key, "biases"};
    case Presence::kOutputBias:
      return {family.output_bias.key, "biases"};
    case Presence::kMlpBias:
      return {family.mlp_bias.key, "biases"};
    case Presence::kQkNorm:
      return {family.qk_norm.key, "norms of queries and keys"};
    default:
      return {};
  }
}

int64_t layer_of(const ModelFamily& family, const std::string& name) {
  const std::string rule = rule_name(family, Role::kOutput);  // "model.layers.{}.self_attn..."
  std::string before = rule.substr(0, rule.find('{'));
  if (name.starts_with(base_name(family, before))) before = base_name(family, before);
  if (!name.starts_with(before)) return -1;
  int64_t layer = 0;
  size_t at = before.size();
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && layer < 1'000'000; ++at) {
    layer = layer * 10 + (name[at] - '0');
  }
  return at > before.size() && at < name.size() && name[at] == '.' ? layer : -1;
}

NameMatch match_names(const TensorCheck& check,
                      const std::vector<std::map<std::string, std::string>>& metadata) {
  NameMatch match;
  const ModelFamily& family = *check.config.family;
  const bool base = has_base_names(check);
  const auto stands_for = [&](const std::string& name) -> std::string {
    if (check.files.contains(name)) return name;
    if (base && check.files.contains(base_name(family, name))) return base_name(family, name);
    for (const auto& entries : metadata) {
      const auto kept = entries.find(name);
      if (kept != entries.end() && check.files.contains(kept->second)) return kept->second;
    }
    return {};
  };
  const std::string embedding = rule_name(family, Role::kEmbedding);
  for (const ExpectedTensor& tensor : check.expected) {
    std::string file = stands_for(tensor.name);
    const std::string head = rule_name(family, Role::kLmHead);
    const bool tied = tensor.name == embedding && check.config.tie_word_embeddings;
    if (file.empty() && tied && check.files.contains(head)) file = head;
    if (file.empty()) continue;
    match.located.emplace(tensor.name, check.files.at(file));
    if (file == tensor.name || file == base_name(family, tensor.name)) continue;
    match.notices.push_back(
        fmt::format("{}: {} stands for {}", check.folder, printable(file), tensor.name));
  }
  if (base) {
    match.notices.push_back(fmt::format("{}: names without \"{}\" are read as those of {}",
                                        check.folder, base_of(family), check.config.architecture));
  }
  return match;
}

void refuse_foreign_names(const TensorCheck& check, const TensorLocations& located) {
  refuse_quantized(check);
  refuse_marked(check, kAdapters);
  const size_t missing = check.expected.size() - located.size();
  if (missing * 2 <= check.expected.size()) return;
  refuse_marked(check, kMarkers);
  if (const std::string prefix = find_prefix(check); !prefix.empty()) refuse_prefix(check, prefix);
  if (!located.empty() || check.files.empty()) return;
  throw CheckpointError(
      {.code = "CFG_TENSOR_MISSING",
       .message = fmt::format(
           "tensors must be those of {} (model_type \"{}\"), found {} others, such as {}",
           check.config.architecture, check.config.family->model_type, check.files.size(),
           printable(check.files.begin()->first)),
       .path = check.config_path(),
       .hint = std::string(kModelType)});
}

}  // namespace regroup
