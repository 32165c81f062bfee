// Models with windows in all layers or some: what a layer keeps is bounded there.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"
#include "regroup/base/printable.h"

namespace regroup::open_models {
namespace {

constexpr Keys kGptNeo{.layers = "num_layers num_hidden_layers",
                       .heads = "num_heads num_attention_heads",
                       .kv_heads = "",
                       .head_dim = ""};

void windowed_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  const int64_t n_layers = layer_count(layout);
  const auto window = read_window(fields, model.window);
  auto uses = read_uses(fields, "layer_types", n_layers, window_words());
  const std::string key(model.window.every_key);
  if (!uses && window) {
    const auto every = key.empty() ? std::nullopt : fields.integer(key.c_str(), 1, kMaxLayers);
    uses = every_nth(n_layers, every.value_or(model.window.every), Use::kFull, Use::kSliding);
  }
  if (!uses) uses = std::vector<Use>(static_cast<size_t>(n_layers), Use::kFull);
  apply_uses(fields, layout, *uses, window, 0);
}

/// The window in layers from `first` on, or where layer_types says so.
void window_from(const JsonFields& fields, CacheLayout& layout, std::optional<int64_t> window,
                 int64_t first) {
  auto uses = read_uses(fields, "layer_types", layer_count(layout), window_words());
  if (!uses) {
    uses.emplace();
    for (int64_t layer = 0; layer < layer_count(layout); ++layer) {
      uses->push_back(window && layer >= first ? Use::kSliding : Use::kFull);
    }
  }
  apply_uses(fields, layout, *uses, window, 0);
}

std::optional<int64_t> optional_window(const JsonFields& fields, const OpenModel& model) {
  if (!fields.boolean("use_sliding_window").value_or(false)) return std::nullopt;
  return read_window(fields, model.window);
}

void qwen_vl_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  window_from(fields, layout, optional_window(fields, model),
              fields.integer("max_window_layers", 0, kMaxLayers).value_or(80));
}

void dots_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  window_from(fields, layout, read_window(fields, model.window),
              fields.integer("max_window_layers", 0, kMaxLayers).value_or(62));
}

void qwen3_moe_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  window_from(fields, layout, optional_window(fields, model), 0);
}

void qwen2_moe_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  const auto window = optional_window(fields, model);
  if (window && fields.find("layer_types") == nullptr) {
    unsupported(fields,
                "use_sliding_window without layer_types is not supported: versions of "
                "transformers disagree on the layers that slide");
  }
  window_from(fields, layout, window, 0);
}

/// "attention_layers", or "attention_types": [[["global", "local"], 12]].
std::vector<Use> read_neo_uses(const JsonFields& fields, int64_t n_layers) {
  static constexpr auto kWords =
      std::to_array<Word>({{"global", Use::kFull}, {"local", Use::kSliding}});
  if (auto uses = read_uses(fields, "attention_layers", n_layers, kWords)) return *uses;
  Json words = Json::array();
  const Json* types = fields.find("attention_types");
  const auto is_run = [](const Json& run) {
    return run.is_array() && run.size() == 2 && run[0].is_array() && !run[0].empty() &&
           run[1].is_number_unsigned() && run[1] <= kMaxLayers;
  };
  const bool fits =
      types == nullptr || (types->is_array() && std::all_of(types->begin(), types->end(), is_run));
  if (!fits) {
    inconsistent(fields, fmt::format("attention_types must be a list of [words, times], found {}",
                                     printable(types->dump())));
  }
  const Json runs = types == nullptr ? Json::parse(R"([[["global", "local"], 12]])") : *types;
  for (const Json& run : runs) {
    for (int64_t i = 0; i < run[1].get<int64_t>(); ++i) {
      words.insert(words.end(), run[0].begin(), run[0].end());
      if (static_cast<int64_t>(words.size()) > n_layers) break;  // a wrong length, refused below
    }
  }
  const Json expanded{{"attention_types", words}};
  return *read_uses(JsonFields(expanded, fields.path()), "attention_types", n_layers, kWords);
}

void gpt_neo_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  apply_uses(fields, layout, read_neo_uses(fields, layer_count(layout)),
             read_window(fields, model.window), 0);
}

/// A layer with RoPE sees the tokens of its chunk, one without sees all.
void llama4_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  static constexpr auto kWords =
      std::to_array<Word>({{"full_attention", Use::kFull}, {"chunked_attention", Use::kSliding}});
  const int64_t n_layers = layer_count(layout);
  const auto chunk = read_window(fields, model.window);
  auto uses = read_uses(fields, "layer_types", n_layers, kWords);
  const Json* listed = fields.find("no_rope_layers");
  const bool lists = listed != nullptr && !listed->empty();  // the class takes [] for none
  if (!uses && lists) {
    uses.emplace();
    const auto turned = read_integers(fields, "no_rope_layers", n_layers, 0, 1);
    for (const int64_t rope : *turned) {
      uses->push_back(rope == 1 ? Use::kSliding : Use::kFull);
    }
  } else if (!uses) {
    uses = every_nth(n_layers, fields.integer("no_rope_layer_interval", 1, kMaxLayers).value_or(4),
                     Use::kFull, Use::kSliding);
  }
  if (!chunk) std::fill(uses->begin(), uses->end(), Use::kFull);
  apply_uses(fields, layout, *uses, chunk, 0);
}

/// The last layers read what earlier ones keep.
void gemma3n_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  windowed_layers(fields, model, layout);
  const int64_t shared = fields.integer("num_kv_shared_layers", 0, kMaxLayers).value_or(15);
  if (shared >= layer_count(layout)) {
    inconsistent(fields, fmt::format("num_kv_shared_layers must be below the {} layers, found {}",
                                     layer_count(layout), shared));
  }
  std::fill(layout.layers.end() - shared, layout.layers.end(),
            CacheLayer{.kind = CacheKind::kNone});
}

constexpr Window kLlama4Chunk{.key = "attention_chunk_size", .tokens = 8192};
constexpr Window kGemma3Window{.tokens = 4096, .every = 6, .every_key = "sliding_window_pattern"};
constexpr Window kExaone4Window{.tokens = 4096, .every = 4, .every_key = "sliding_window_pattern"};
constexpr Window kQwenWindow{.tokens = 4096};
// Files of Gemma 3 leave out what the class has.
constexpr Defaults kGemma3{.heads = 8, .kv_heads = 4, .head_dim = 256, .positions = 131072};
constexpr Defaults kGemma3n{.heads = 8, .kv_heads = 2, .head_dim = 256, .positions = 32768};
constexpr Defaults kLlama4{.kv_heads = 8, .head_dim = 128, .positions = 131072};
constexpr Defaults kQwenVl{.kv_heads = 8, .positions = 32768};

/// A row with a rule for layers, and perhaps a window.
constexpr OpenModel window_row(std::string_view model_type, Keys keys, Defaults defaults,
                               LayerRule layers, Window window = {}) {
  return {.model_type = model_type,
          .keys = keys,
          .defaults = defaults,
          .layers = layers,
          .window = window};
}

constexpr auto kWindowModels = std::to_array<OpenModel>({
    window_row("arctic", {}, {}, windowed_layers),
    window_row("dots1", {}, {.kv_heads = 32, .positions = 2048}, dots_layers, kQwenWindow),
    window_row("exaone4", {}, {.kv_heads = 32, .positions = 2048}, windowed_layers, kExaone4Window),
    window_row("gemma3", {}, kGemma3, windowed_layers, kGemma3Window),
    window_row("gemma3_text", {}, kGemma3, windowed_layers, kGemma3Window),
    window_row("gemma3n", {}, kGemma3n, gemma3n_layers, {.tokens = 512, .every = 5}),
    window_row("gemma3n_text", {}, kGemma3n, gemma3n_layers, {.tokens = 512, .every = 5}),
    window_row("gpt_neo", kGptNeo, {.positions = 2048}, gpt_neo_layers,
               {.key = "window_size", .tokens = 256}),
    window_row("gpt_oss", {}, {.kv_heads = 8, .head_dim = 64, .positions = 131072}, windowed_layers,
               {.tokens = 128, .every = 2}),
    window_row("llama4", {}, kLlama4, llama4_layers, kLlama4Chunk),
    window_row("llama4_text", {}, kLlama4, llama4_layers, kLlama4Chunk),
    window_row("ministral", {}, {.kv_heads = 8, .positions = 131072}, windowed_layers,
               {.tokens = 4096}),
    window_row("ministral3", {}, {.kv_heads = 8, .head_dim = 128, .positions = 262144},
               windowed_layers),
    window_row("mixtral", {}, {.kv_heads = 8, .positions = 131072}, windowed_layers),
    window_row("phimoe", {}, {.kv_heads = 8, .positions = 131072}, windowed_layers),
    window_row("qwen2_5_vl", {}, kQwenVl, qwen_vl_layers, kQwenWindow),
    window_row("qwen2_5_vl_text", {}, kQwenVl, qwen_vl_layers, kQwenWindow),
    window_row("qwen2_moe", {}, {.kv_heads = 16, .positions = 32768}, qwen2_moe_layers,
               kQwenWindow),
    window_row("qwen2_vl", {}, kQwenVl, qwen_vl_layers, kQwenWindow),
    window_row("qwen2_vl_text", {}, kQwenVl, qwen_vl_layers, kQwenWindow),
    window_row("qwen3_moe", {}, {.kv_heads = 4, .positions = 32768}, qwen3_moe_layers, kQwenWindow),
});

}  // namespace

std::span<const OpenModel> window_models() { return kWindowModels; }

}  // namespace regroup::open_models
