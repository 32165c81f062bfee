// Models whose layers all keep keys and values alike.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"
#include "regroup/base/printable.h"

namespace regroup::open_models {
namespace {

// "" for the key/value heads: the class has none, so every query head has its own.
constexpr Keys kMha{.kv_heads = "", .head_dim = ""};
constexpr Keys kGpt2{.layers = "n_layer num_hidden_layers",
                     .heads = "n_head num_attention_heads",
                     .kv_heads = "",
                     .head_dim = "",
                     .hidden = "n_embd hidden_size",
                     .positions = "n_positions max_position_embeddings"};
// ALiBi bounds no position, but what a file says of them still counts.
constexpr Keys kBloom{.layers = "n_layer num_hidden_layers",
                      .heads = "n_head num_attention_heads",
                      .kv_heads = "",
                      .head_dim = "",
                      .hidden = "hidden_size n_embed n_embd",
                      .positions = "seq_length"};
constexpr Keys kXglm{.layers = "num_layers num_hidden_layers",
                     .heads = "attention_heads num_attention_heads",
                     .kv_heads = "",
                     .head_dim = "",
                     .hidden = "d_model hidden_size"};
constexpr Keys kMpt{.layers = "n_layers num_hidden_layers",
                    .heads = "n_heads num_attention_heads",
                    .kv_heads = "kv_n_heads",
                    .head_dim = "",
                    .hidden = "d_model hidden_size",
                    .positions = "max_seq_len max_position_embeddings"};
constexpr Keys kFalcon{.layers = "num_hidden_layers n_layer",
                       .heads = "num_attention_heads n_head",
                       .kv_heads = "num_kv_heads n_head_kv",
                       .head_dim = "",
                       .hidden = "hidden_size n_embed"};
constexpr Keys kChatGlm{.layers = "num_layers num_hidden_layers",
                        .kv_heads = "multi_query_group_num",
                        .head_dim = "kv_channels",
                        .positions = "seq_length max_sequence_length"};
constexpr Keys kExaone{.layers = "num_layers num_hidden_layers"};
constexpr Keys kQwen{.kv_heads = "", .head_dim = "kv_channels"};

int64_t falcon_kv_heads(const JsonFields& fields, const OpenModel& model, int64_t n_heads) {
  const bool grouped = fields.boolean("new_decoder_architecture").value_or(false);
  // The class ignores num_kv_heads, 71 in Falcon-7B's file, where there is one head.
  if (!grouped && fields.boolean("multi_query").value_or(true)) return 1;
  return keyed_kv_heads(fields, model, n_heads);
}

int64_t bigcode_kv_heads(const JsonFields& fields, const OpenModel&, int64_t n_heads) {
  return fields.boolean("multi_query").value_or(true) ? 1 : n_heads;
}

int64_t chatglm_kv_heads(const JsonFields& fields, const OpenModel& model, int64_t n_heads) {
  if (!fields.boolean("multi_query_attention").value_or(false)) return n_heads;
  return keyed_kv_heads(fields, model, n_heads);
}

/// "attn_config" of MPT and DBRX has the heads.
int64_t nested_kv_heads(const JsonFields& fields, const OpenModel& model, int64_t n_heads) {
  static const Json kNone = Json::object();
  const Json* nested = read_object(fields, "attn_config");
  return keyed_kv_heads(JsonFields(nested == nullptr ? kNone : *nested, fields.path()), model,
                        n_heads);
}

int64_t mpt_kv_heads(const JsonFields& fields, const OpenModel& model, int64_t n_heads) {
  const Json* nested = read_object(fields, "attn_config");
  if (nested == nullptr) return n_heads;
  const std::string type =
      JsonFields(*nested, fields.path()).string("attn_type").value_or("multihead_attention");
  if (type == "multiquery_attention") return 1;
  if (type == "multihead_attention" || type == "grouped_query_attention") {
    return nested_kv_heads(fields, model, n_heads);
  }
  unsupported(fields, fmt::format("attn_config.attn_type must be multihead_attention, "
                                  "grouped_query_attention or multiquery_attention, found {}",
                                  printable(type)));
}

int64_t latent_head_dim(const JsonFields& fields, const OpenModel& model, const CacheLayout&) {
  return read_required(fields, "qk_nope_head_dim", kMaxWidth, model.defaults.unrotated) +
         read_required(fields, "qk_rope_head_dim", kMaxWidth, model.defaults.rotary);
}

/// One latent vector a token and its rotated key, whatever the number of heads.
void latent_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  if (fields.find("index_topk") != nullptr) {
    unsupported(fields, "layers with an indexer keep its keys too, in a format of their own");
  }
  const int64_t elements =
      read_required(fields, "kv_lora_rank", kMaxWidth, model.defaults.latent) +
      read_required(fields, "qk_rope_head_dim", kMaxWidth, model.defaults.rotary);
  for (CacheLayer& layer : layout.layers) {
    layer = {.kind = CacheKind::kLatent, .token_elements = elements};
  }
}

constexpr OpenModel latent(std::string_view model_type, Defaults defaults = {}) {
  return {.model_type = model_type,
          .keys = {.kv_heads = ""},
          .defaults = defaults,
          .head_dim = latent_head_dim,
          .layers = latent_layers};
}

constexpr auto kAttentionModels = std::to_array<OpenModel>({
    // Every query head has keys and values of its own.
    {"baichuan",
     {.kv_heads = "", .head_dim = "", .positions = "max_position_embeddings model_max_length"}},
    {"biogpt", kMha, {.positions = 1024}},
    {"bloom", kBloom},
    {"codegen", kGpt2, {.positions = 2048}},
    {"gpt2", kGpt2, {.positions = 1024}},
    {"gpt_neox", kMha, {.positions = 2048}},
    {"gptj", kGpt2, {.positions = 2048}},
    {"internlm", kMha},
    {"jais", kGpt2},
    {"opt", kMha, {.positions = 2048}},
    {"persimmon", kMha, {.positions = 16384}},
    {"qwen", kQwen},
    {"xglm", kXglm, {.positions = 2048}},
    // The number of key/value heads follows from other keys.
    {"RefinedWeb", kFalcon},
    {"RefinedWebModel", kFalcon, {.positions = 2048}, falcon_kv_heads},
    {"chatglm", kChatGlm, {.kv_heads = 1, .head_dim = 128}, chatglm_kv_heads},
    {"dbrx", kMpt, {.kv_heads = 1, .positions = 2048}, nested_kv_heads},
    {"falcon", kFalcon, {.positions = 2048}, falcon_kv_heads},
    {"gpt_bigcode", kGpt2, {.positions = 1024}, bigcode_kv_heads},
    {"mpt", kMpt, {.positions = 2048}, mpt_kv_heads},
    // The keys of Llama, with the defaults of each class.
    {"apertus", {}, {.positions = 65536}},
    {"aquila"},
    {"arcee", {}, {.positions = 4096}},
    {"bitnet", {}, {.kv_heads = 5, .positions = 2048}},
    {"deepseek"},
    {"ernie4_5", {}, {.kv_heads = 2, .head_dim = 128, .positions = 131072}},
    {"ernie4_5_moe", {}, {.kv_heads = 4, .positions = 131072}},
    {"exaone", kExaone},
    {"flex_olmo", {}, {.positions = 4096}},
    {"glm", {}, {.kv_heads = 2, .head_dim = 128, .positions = 131072}},
    {"glm4", {}, {.kv_heads = 2, .head_dim = 128, .positions = 131072}},
    {"glm4_moe", {}, {.kv_heads = 8, .positions = 131072}},
    {"granitemoe", {}, {.positions = 2048}},
    {"granitemoeshared", {}, {.positions = 2048}},
    {"helium", {}, {.kv_heads = 20, .head_dim = 128, .positions = 4096}},
    {"hunyuan_v1_dense", {}, {.positions = 2048}},
    {"hunyuan_v1_moe", {}, {.positions = 2048}},
    {"internlm3", {}, {.kv_heads = 2, .head_dim = 128, .positions = 32768}},
    {"jais2", {}, {.positions = 8192}},
    {"minicpm"},
    {"minimax_m2", {}, {.kv_heads = 8, .head_dim = 128, .positions = 196608}},
    {"nemotron", {}, {.positions = 4096}},
    {"olmoe", {}, {.positions = 4096}},
    {"orion"},
    {"qwen3_vl", {}, {.kv_heads = 32, .head_dim = 128, .positions = 128000}},
    {"qwen3_vl_moe", {}, {.kv_heads = 16, .positions = 128000}},
    {"qwen3_vl_moe_text", {}, {.kv_heads = 16, .positions = 128000}},
    {"qwen3_vl_text", {}, {.kv_heads = 32, .head_dim = 128, .positions = 128000}},
    {"seed_oss", {}, {.kv_heads = 8, .head_dim = 128, .positions = 524288}},
    {"stablelm_epoch"},
    {"xverse"},
    latent("deepseek_v2", {.positions = 2048}),
    latent("deepseek_v3", {.positions = 4096}),
    latent("glm4_moe_lite", {.positions = 202752, .unrotated = 192}),
    latent("kimi_k2", {.positions = 4096}),
    latent("minicpm3", {.positions = 32768, .latent = 256, .unrotated = 64, .rotary = 32}),
});

}  // namespace

std::span<const OpenModel> attention_models() { return kAttentionModels; }

}  // namespace regroup::open_models
