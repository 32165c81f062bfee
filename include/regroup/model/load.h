#pragma once

#include <map>
#include <string>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/decoder.h"

namespace regroup {

/// Reads a checked folder into a decoder of `dtype` on `device`, one tensor at a time.
/// @throws CheckpointError VAL_NONFINITE naming the tensor
Decoder load_decoder(const ModelFolder& folder, at::ScalarType dtype, at::Device device);

/// Fills a decoder with fresh weights: N(0, initializer_range^2), norms 1, biases 0; projections into
/// the residual stream are scaled by 1 / sqrt(2 n_layers). The same seed gives the same weights.
void initialize_weights(Decoder& decoder, uint64_t seed);

/// Where and how save_weights() writes.
struct SaveOptions {
  std::string folder;                   ///< exists and is empty; published by the caller
  std::map<std::string, Dtype> dtypes;  ///< by tensor name; a tensor not named keeps the decoder's
  int64_t max_shard_bytes = int64_t{5} << 30;
};

/// Writes the safetensors files and, for several shards, the index. Every file is synced.
void save_weights(const Decoder& decoder, const SaveOptions& options);

/// The dtype of every tensor as the folder stores it.
std::map<std::string, Dtype> stored_dtypes(const ModelFolder& folder);

/// SHA-256 over config.json and every weight file: which model something was measured on, started from
/// or learns from.
std::string model_digest(const ModelFolder& folder);

/// Copies config.json's text and every tokenizer and generation file from `model` to `folder`.
void copy_companions(const std::string& model, const std::string& folder);

}  // namespace regroup
