#pragma once

namespace regroup {

inline constexpr const char* kSingle = "model.safetensors";
inline constexpr const char* kIndex = "model.safetensors.index.json";
inline constexpr const char* kFetchAgain = "the download may be incomplete; fetch the folder again";
inline constexpr const char* kIndexStale =
    "the index belongs to other shards; fetch the folder again";

}  // namespace regroup
