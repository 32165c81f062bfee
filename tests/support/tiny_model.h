#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "regroup/checkpoint/dtype.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup::testing {

/// A small random model of a Llama-like family. Every value follows from `seed`, the tensor's name
/// and the element's index alone: the number of shards, the other sizes or another machine do not
/// change it. The same spec gives the same bytes.
struct TinyModelSpec {
  std::string model_type = "llama";  ///< any family; "stablelm" and "phi" turn half of a head
  int64_t n_layers = 2;
  int64_t n_heads = 4;
  int64_t n_kv_heads = 4;
  int64_t head_dim = 8;
  int64_t hidden_size = 32;  ///< may differ from n_heads * head_dim
  int64_t intermediate_size = 48;
  int64_t vocab_size = 64;
  int64_t max_positions = 128;
  Dtype dtype = Dtype::kF32;  ///< F32, BF16 or F16
  bool tie_word_embeddings = false;
  bool attention_bias = false;  ///< where the family may have it; qwen2 always has it on q, k and v
  bool mlp_bias = false;
  std::optional<int64_t> sliding_window =
      {};            ///< mistral, phi3; qwen2 and qwen3, but for their first layer
  int n_shards = 1;  ///< above 1: with an index
  uint64_t seed = 1;
  /// Above 0: neighbouring K and V heads are equal, so that only this many are different. Must
  /// divide n_kv_heads. Merging equal heads is exact.
  int64_t distinct_kv_heads = 0;
  /// Keys added to config.json or put in place of its own, such as "rope_scaling".
  nlohmann::ordered_json extra_config = nlohmann::ordered_json::object();
};

/// Writes config.json and model.safetensors (or shards and their index) into `folder`, which is
/// created when absent. No tokenizer: a byte-sized vocabulary needs none.
void write_tiny_model(const std::string& folder, const TinyModelSpec& spec);

/// The text of its config.json.
std::string tiny_config(const TinyModelSpec& spec);
/// What the tensor `name` of shape `shape` holds before it is rounded to `spec.dtype`: norms near 1,
/// biases of standard deviation 0.1, weights of 1 / sqrt(fan-in).
std::vector<double> tiny_values(const TinyModelSpec& spec, const std::string& name,
                                const std::vector<int64_t>& shape);

/// A tensor with its bytes, to write a safetensors file by hand.
struct TensorData {
  TensorSpec spec;
  std::string bytes;
};
/// All tensors of the model in the order of the files.
std::vector<TensorData> tiny_tensors(const TinyModelSpec& spec);
/// `values` rounded to `dtype`, as bytes.
std::string encode_values(Dtype dtype, const std::vector<double>& values);

/// The bytes of a safetensors file.
std::string safetensors_bytes(const std::vector<TensorData>& tensors,
                              const std::map<std::string, std::string>& metadata = {});
/// Writes `tensors` as `n_shards` files of about as many tensors each, with their index, or as one
/// model.safetensors without.
void write_tensors(const std::string& folder, const std::vector<TensorData>& tensors, int n_shards);

/// Numbers that follow from a seed, equal on every machine (splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// Uniform in [0, n).
  uint64_t below(uint64_t n) { return next() % n; }
  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// Mean 0, standard deviation 1: the sum of 12 uniform numbers, which needs no libm.
  double normal();
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  uint64_t state_;
};

}  // namespace regroup::testing
