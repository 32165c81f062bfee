#pragma once

#include <string>
#include <string_view>

#include "regroup/checkpoint/tensor_file.h"

namespace regroup {

inline constexpr const char* kSingle = "model.safetensors";
inline constexpr const char* kIndex = "model.safetensors.index.json";
inline constexpr const char* kFetchAgain = "the download may be incomplete; fetch the folder again";
inline constexpr const char* kIndexStale =
    "the index belongs to other shards; fetch the folder again";

/// How a folder of Hugging Face calls its weights in one format, and who reads them.
struct WeightFormat {
  const char* single;  ///< all weights in one file
  const char* index;   ///< which of several holds what
  const char* start;   ///< of the name of each
  const char* ending;
  TensorFile::TableReader read_table;
};

const WeightFormat& safetensors_format();
/// pytorch_model.bin
const WeightFormat& torch_format();

}  // namespace regroup
