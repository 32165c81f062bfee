#pragma once

#include "families/tensor_rows.h"

namespace regroup::families {

// Cohere's tensors: attention and MLP read one norm.
inline constexpr auto kParallelTensors =
    joined(kEmbeddingRow, kInputNormRow, kAttentionRows, kOutputBiasRow, kGluRows, kFinalNormRow,
           kLmHeadRow);

}  // namespace regroup::families
