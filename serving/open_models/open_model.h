#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/serving/cache_layout.h"

namespace regroup::open_models {

// As those of checkpoint/config.cpp: far above every real model, and small enough that no product leaves 63 bits.
inline constexpr int64_t kMaxLayers = 10'000;
inline constexpr int64_t kMaxPositions = 1 << 30;
inline constexpr int64_t kMaxWidth = 1 << 20;
inline constexpr int64_t kMaxRows = 1 << 24;

/// How a class spells the shape of a model: the words that it takes, with a blank between them, the usual one first.
/// "" where it has no such key.
struct Keys {
  std::string_view layers = "num_hidden_layers";
  std::string_view heads = "num_attention_heads";
  std::string_view kv_heads = "num_key_value_heads";
  std::string_view head_dim = "head_dim";
  std::string_view hidden = "hidden_size";
  std::string_view positions = "max_position_embeddings";
};

/// What transformers' class takes for a key that the file does not have; 0: nothing, or what follows from others.
struct Defaults {
  int64_t heads = 0;
  int64_t kv_heads = 0;  ///< 0: as many as query heads
  int64_t head_dim = 0;  ///< 0: hidden_size / num_attention_heads
  int64_t positions = 0;
  // Of latent attention.
  int64_t latent = 512;
  int64_t unrotated = 128;
  int64_t rotary = 64;
};

/// The window of a class, and which layers have it where no list says so.
struct Window {
  std::string_view key = "sliding_window";
  int64_t tokens = 0;               ///< where the file does not say; 0: no window
  int64_t every = 0;                ///< one layer in so many sees all tokens; 0: none does
  std::string_view every_key = {};  ///< "" where the class fixes it
};

struct OpenModel;
using KvHeadsRule = int64_t (*)(const JsonFields&, const OpenModel&, int64_t n_heads);
using HeadDimRule = int64_t (*)(const JsonFields&, const OpenModel&, const CacheLayout&);
/// Turns `layers`, which all see every token, into those that the file describes.
using LayerRule = void (*)(const JsonFields&, const OpenModel&, CacheLayout&);

/// What the file names, or the class's default, or what follows from the query heads.
int64_t keyed_kv_heads(const JsonFields& fields, const OpenModel& model, int64_t n_heads);
int64_t keyed_head_dim(const JsonFields& fields, const OpenModel& model, const CacheLayout& layout);
inline void full_layers(const JsonFields&, const OpenModel&, CacheLayout&) {}

/// A model type whose cache is known.
struct OpenModel {
  std::string_view model_type;
  Keys keys = {};
  Defaults defaults = {};
  KvHeadsRule kv_heads = keyed_kv_heads;
  HeadDimRule head_dim = keyed_head_dim;
  LayerRule layers = full_layers;
  Window window = {};
};

std::span<const OpenModel> attention_models();
std::span<const OpenModel> window_models();
std::span<const OpenModel> layered_models();
std::span<const OpenModel> mamba_models();
std::span<const OpenModel> state_models();

/// @throws CheckpointError of that code
[[noreturn]] void refuse(const char* code, const JsonFields& fields, const std::string& message);
[[noreturn]] void inconsistent(const JsonFields& fields, const std::string& message);
[[noreturn]] void unsupported(const JsonFields& fields, const std::string& message);

/// The integer, from 1 to `max`, under the first of `spellings` that the file has.
/// @throws CheckpointError CFG_INCONSISTENT where two of them disagree
std::optional<int64_t> read_any(const JsonFields& fields, std::string_view spellings, int64_t max);
/// The same, or `otherwise`. @throws CheckpointError CFG_MISSING_KEY where that is 0 too
int64_t read_required(const JsonFields& fields, std::string_view spellings, int64_t max,
                      int64_t otherwise = 0);
/// The first of them that is there, whatever the others say.
std::optional<int64_t> read_first(const JsonFields& fields, std::string_view spellings,
                                  int64_t max);
/// Whether one of them is there, if only as null.
bool has_any(const JsonFields& fields, std::string_view spellings);

/// An object inside the file; nullptr where it has none.
const Json* read_object(const JsonFields& fields, const char* key);

/// A width in [1, kMaxWidth], or `otherwise`.
int64_t read_number(const JsonFields& fields, const char* key, int64_t otherwise);
/// The elements of a part of a state. @throws CheckpointError CFG_OVERFLOW
int64_t state_product(const JsonFields& fields, std::initializer_list<int64_t> factors);

/// A list of `n` integers in [min, max]; nothing where the file has none. @throws CheckpointError CFG_INCONSISTENT
std::optional<std::vector<int64_t>> read_integers(const JsonFields& fields, const char* key,
                                                  std::optional<int64_t> n, int64_t min,
                                                  int64_t max);

int64_t layer_count(const CacheLayout& layout);

/// A layer that sees every token, with the heads of `layout`.
CacheLayer attention_layer(const CacheLayout& layout);

/// What a word of a list of layers means for the cache.
enum class Use : uint8_t { kFull, kSliding, kState, kFullAndState, kNone };
struct Word {
  std::string_view word;
  Use use;
};

/// The words of transformers' own layer_types, and those of older files.
std::span<const Word> window_words();
std::span<const Word> state_words();

/// A use for each layer, from a list of as many words; nothing where the file has no such list.
/// @throws CheckpointError CFG_INCONSISTENT
std::optional<std::vector<Use>> read_uses(const JsonFields& fields, const char* key,
                                          int64_t n_layers, std::span<const Word> words);

/// Attention in the layers of a list of numbers, a state in the others.
std::vector<Use> uses_of(const CacheLayout& layout, const std::vector<int64_t>& attention);

/// Every n-th layer is of the one use, those between of the other.
std::vector<Use> every_nth(int64_t n_layers, int64_t n, Use nth, Use between);

/// Tokens that the class's window keeps; nothing where there is none.
std::optional<int64_t> read_window(const JsonFields& fields, const Window& window);

/// Gives each layer its use. @throws CheckpointError CFG_INCONSISTENT for a window that is not there
void apply_uses(const JsonFields& fields, CacheLayout& layout, const std::vector<Use>& uses,
                std::optional<int64_t> window, int64_t state_elements);

}  // namespace regroup::open_models
