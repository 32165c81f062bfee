#include "support/tiny_model.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <stdexcept>

#include "regroup/base/split_mix.h"
#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using Json = nlohmann::ordered_json;

std::string dtype_word(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBF16:
      return "bfloat16";
    case Dtype::kF16:
      return "float16";
    default:
      return "float32";
  }
}

/// FNV-1a, so that a tensor's values depend on its name and on nothing before it.
uint64_t hash_name(const std::string& name, uint64_t seed) {
  uint64_t hash = 0xCBF29CE484222325u ^ (seed * 0x9E3779B97F4A7C15u);
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

bool has_part(const std::string& name, const char* part) {
  return name.find(part) != std::string::npos;
}

/// Repeats the first of each run of heads over the run.
void repeat_heads(std::span<double> values, int64_t n_heads, int64_t n_distinct) {
  if (n_distinct < 1 || n_heads % n_distinct != 0) {
    throw std::invalid_argument("distinct_kv_heads must divide n_kv_heads");
  }
  const int64_t run = n_heads / n_distinct;
  const auto head_size = static_cast<int64_t>(values.size()) / n_heads;
  for (int64_t head = 0; head < n_heads; ++head) {
    const auto first = values.begin() + head / run * run * head_size;
    std::copy(first, first + head_size, values.begin() + head * head_size);
  }
}

/// The same where query heads, keys and values lie KV head by KV head: [n_kv_heads, m + 2, head_dim, ...].
void repeat_grouped_heads(const TinyModelSpec& spec, std::span<double> values) {
  const auto groups = static_cast<size_t>(spec.n_kv_heads);
  const auto distinct = static_cast<size_t>(spec.distinct_kv_heads);
  const size_t group = values.size() / groups;
  const size_t pair = group / static_cast<size_t>(spec.n_heads / spec.n_kv_heads + 2) * 2;
  for (size_t g = 0; g < groups; ++g) {
    const size_t first = g / (groups / distinct) * (groups / distinct);
    const auto from = values.subspan(first * group, group).last(pair);
    std::copy(from.begin(), from.end(), values.subspan(g * group, group).last(pair).begin());
  }
}

/// Makes neighbouring KV heads equal in a tensor that holds some.
void repeat_kv_heads(const TinyModelSpec& spec, const std::string& name,
                     const std::vector<int64_t>& shape, std::vector<double>& values) {
  const std::span all(values);
  const auto repeat = [&](std::span<double> heads) {
    repeat_heads(heads, spec.n_kv_heads, spec.distinct_kv_heads);
  };
  const int64_t kv_rows = spec.n_kv_heads * spec.head_dim;
  if (has_part(name, ".k_proj.") || has_part(name, ".v_proj.")) repeat(all);
  if (has_part(name, ".k_norm.") && (shape[0] == kv_rows || shape.size() == 2)) repeat(all);
  if (has_part(name, ".qkv_proj.") || has_part(name, ".W_pack.")) {
    const auto kv = static_cast<size_t>(kv_rows * shape[1]);
    repeat(all.last(2 * kv).first(kv));
    repeat(all.last(kv));
  }
  if (has_part(name, ".wqkv.") || has_part(name, ".query_key_value.")) {
    repeat_grouped_heads(spec, all);
  }
}

/// The name of the head whose key gains `name` has, where each head has a tensor: the first of its run.
std::string equal_head(const TinyModelSpec& spec, const std::string& name) {
  constexpr std::string_view kNorms = ".k_layernorm.norms.";
  const size_t at = name.find(kNorms);
  if (spec.distinct_kv_heads == 0 || at == std::string::npos) return name;
  const int64_t run = spec.n_kv_heads / spec.distinct_kv_heads;
  const std::string before = name.substr(0, at + kNorms.size());
  return fmt::format("{}{}.weight", before, std::stoll(name.substr(before.size())) / run * run);
}

/// Families that have Llama's keys for biases.
bool may_have_biases(const std::string& family) {
  return find_family(family)->qkv_bias.key == "attention_bias";
}

/// Keys that one family alone has.
void add_own_keys(const TinyModelSpec& spec, Json& config) {
  const std::string& family = spec.model_type;
  if (family == "granite") {
    config["embedding_multiplier"] = 3.0;
    config["residual_multiplier"] = 0.25;
    config["attention_multiplier"] = 0.5;
    config["logits_scaling"] = 4.0;
  }
  if (family == "starcoder2") config["use_bias"] = spec.attention_bias;
  if (family == "internlm" || family == "internlm2" || family == "falcon")
    config["bias"] = spec.attention_bias;
  if (family == "falcon" || family == "gpt_neox") {
    config.erase("head_dim");  // their classes take none
  }
  if (family == "falcon") {
    config["new_decoder_architecture"] = spec.n_kv_heads > 1;
  }
  if (family == "phi3" || family == "smollm3") {
    config["pad_token_id"] = 0;  // their classes' own is beyond a tiny vocabulary
  }
  if (family == "smollm3") config["no_rope_layer_interval"] = 2;
  if (family == "phi") config["partial_rotary_factor"] = 0.5;
  if (family == "qwen2_moe") config["qkv_bias"] = spec.attention_bias;
}

/// Experts of other sizes than anything else.
void add_experts(const ExpertRules& rules, Json& config) {
  if (!rules.may_have) return;
  config[std::string(rules.count_key)] = 7;
  config["num_experts_per_tok"] = 3;
  if (!rules.intermediate.empty()) config[std::string(rules.intermediate)] = 22;
  if (!rules.shared.empty()) config[std::string(rules.shared)] = rules.shared_counts ? 2 : 26;
  if (rules.layers == ExpertLayers::kFrom) config["first_k_dense_replace"] = 1;
}

}  // namespace

uint64_t Random::next() {
  const uint64_t bits = split_mix(state_);
  state_ += kSplitMixStep;
  return bits;
}

double Random::normal() {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += uniform();
  return sum;
}

std::string tiny_config(const TinyModelSpec& spec) {
  const std::string& family = spec.model_type;
  const ConfigKeys& keys = find_family(family)->keys;
  Json config = {
      {"architectures", Json::array({find_family(family)->architecture})},
      {"bos_token_id", 1},
      {"eos_token_id", 2},
      {"head_dim", spec.head_dim},
      {std::string(keys.activation), find_family(family)->activations.front().name},
      {"hidden_size", spec.hidden_size},
      {"initializer_range", 0.02},
      {std::string(keys.intermediate), spec.intermediate_size},
      {"max_position_embeddings", spec.max_positions},
      {"model_type", spec.model_type},
      {"num_attention_heads", spec.n_heads},
      {"num_hidden_layers", spec.n_layers},
      {std::string(keys.kv_heads), spec.n_kv_heads},
      {std::string(keys.rope_theta),
       family == "olmo3" ? 500000.0 : 10000.0},  // its class takes no other
      {"tie_word_embeddings", spec.tie_word_embeddings},
      {"torch_dtype", dtype_word(spec.dtype)},
      {"use_cache", true},
      {"vocab_size", spec.vocab_size},
  };
  if (!keys.norm_eps.empty()) config[std::string(keys.norm_eps)] = 1e-5;
  const WindowRule window = find_family(family)->window;
  if (window == WindowRule::kPattern) {
    config["sliding_window"] = spec.sliding_window.value_or(5);
    if (!keys.window_pattern.empty()) config[std::string(keys.window_pattern)] = 2;
  } else if (window != WindowRule::kNone) {
    config["sliding_window"] = spec.sliding_window ? Json(*spec.sliding_window) : Json();
  }
  const bool qwen = family == "qwen2" || family == "qwen3";
  if (qwen) {
    config["use_sliding_window"] = spec.sliding_window.has_value();
    config["max_window_layers"] = 1;
  }
  // Constants that matter in a tiny model.
  const auto number = [&](std::string_view key, double value) {
    if (!key.empty()) config[std::string(key)] = value;
  };
  if (!keys.query_scalar.empty()) config[std::string(keys.query_scalar)] = 13;  // an integer
  number(keys.logits_multiplier, 0.25);
  number(keys.sliding_theta, 100);
  number(keys.scores_cap, 1.5);
  number(keys.logits_cap, 2.5);
  add_own_keys(spec, config);
  add_experts(find_family(family)->experts, config);
  if (family == "stablelm") {
    config["use_qkv_bias"] = spec.attention_bias;
    config["partial_rotary_factor"] = 0.5;
  } else if (may_have_biases(family)) {
    config["attention_bias"] = spec.attention_bias;
    config["mlp_bias"] = spec.mlp_bias;
  }
  config.update(spec.extra_config);
  return config.dump(2) + "\n";
}

std::vector<double> tiny_values(const TinyModelSpec& spec, const std::string& name,
                                const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t dimension : shape) n *= dimension;
  std::vector<double> values(static_cast<size_t>(n));
  const bool falcon_norm = has_part(name, ".ln_") && name.ends_with(".weight");
  const bool norm = name.ends_with("norm.weight") || has_part(name, ".norms.") || falcon_norm;
  double scale = 1 / std::sqrt(static_cast<double>(shape.back()));
  if (norm || name.ends_with(".bias")) scale = 0.1;
  const bool embedding = name.ends_with("embed_tokens.weight") ||
                         name.ends_with("embeddings.weight") || name.ends_with("embed_in.weight");
  if (embedding) scale = 1;
  Random random(hash_name(equal_head(spec, name), spec.seed));
  const bool near_one = norm && find_family(spec.model_type)->block.norm != Norm::kRmsOffset;
  for (double& value : values) value = scale * random.normal() + (near_one ? 1 : 0);
  if (spec.distinct_kv_heads > 0) repeat_kv_heads(spec, name, shape, values);
  return values;
}

std::string encode_values(Dtype dtype, const std::vector<double>& values) {
  std::string bytes(values.size() * static_cast<size_t>(dtype_bits(dtype)) / 8, '\0');
  round_to(dtype, values, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::vector<TensorData> tiny_tensors(const TinyModelSpec& spec) {
  const ModelConfig config = parse_model_config(tiny_config(spec), "tiny config.json");
  std::vector<TensorData> tensors;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    tensors.push_back(
        {.spec = {.name = tensor.name, .dtype = spec.dtype, .shape = tensor.shape},
         .bytes = encode_values(spec.dtype, tiny_values(spec, tensor.name, tensor.shape))});
  }
  return tensors;
}

std::string safetensors_bytes(const std::vector<TensorData>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  for (const TensorData& tensor : tensors) specs.push_back(tensor.spec);
  std::string bytes = make_safetensors_prefix(specs, metadata);
  for (const TensorData& tensor : tensors) bytes += tensor.bytes;
  return bytes;
}

void write_tensors(const std::string& folder, const std::vector<TensorData>& tensors,
                   int n_shards) {
  const std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (n_shards <= 1) {
    write_file(folder + "/model.safetensors", safetensors_bytes(tensors, metadata));
    return;
  }
  const auto shards = static_cast<size_t>(n_shards);
  Json weight_map = Json::object();
  int64_t total = 0;
  for (size_t shard = 0; shard < shards; ++shard) {
    const auto begin = static_cast<long>(tensors.size() * shard / shards);
    const auto end = static_cast<long>(tensors.size() * (shard + 1) / shards);
    const std::vector<TensorData> part(tensors.begin() + begin, tensors.begin() + end);
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, n_shards);
    write_file(folder + "/" + name, safetensors_bytes(part, metadata));
    for (const TensorData& tensor : part) {
      weight_map[tensor.spec.name] = name;
      total += static_cast<int64_t>(tensor.bytes.size());
    }
  }
  const Json index = {{"metadata", Json::object({{"total_size", total}})},
                      {"weight_map", std::move(weight_map)}};
  write_file(folder + "/model.safetensors.index.json", index.dump(2) + "\n");
}

void write_tiny_model(const std::string& folder, const TinyModelSpec& spec) {
  std::filesystem::create_directories(folder);
  write_file(folder + "/config.json", tiny_config(spec));
  write_tensors(folder, tiny_tensors(spec), spec.n_shards);
}

}  // namespace regroup::testing
