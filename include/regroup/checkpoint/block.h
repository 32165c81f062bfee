#pragma once

#include <cstdint>

namespace regroup {

/// What normalises the residual stream.
enum class Norm : uint8_t {
  kRms,         ///< RMSNorm: a weight
  kRmsOffset,   ///< RMSNorm that multiplies by 1 + weight
  kLayer,       ///< LayerNorm: a weight and a bias
  kLayerScale,  ///< LayerNorm: a weight
  kLayerBare    ///< LayerNorm that has neither, and no tensor in the files
};

/// Whether the mean is taken away.
constexpr bool centres(Norm norm) { return norm != Norm::kRms && norm != Norm::kRmsOffset; }

/// Where a block is normalised.
enum class NormPlace : uint8_t {
  kBefore,  ///< what attention and MLP read (arXiv:2002.04745)
  kAfter,  ///< what they add to the residual stream; they read it as it is (arXiv:2501.00656, section 3.1)
  kAround  ///< both (arXiv:2408.00118, section 2)
};

/// Norm of queries and keys between their projections and RoPE.
enum class QkNorm : uint8_t {
  kNone,
  kHead,   ///< RMSNorm of each head by itself; all heads share their gains
  kWhole,  ///< RMSNorm of all heads of a token together; each head has gains of its own
  kLayer   ///< LayerNorm without a bias of each head by itself; each has gains of its own
};

/// What the MLP's gate goes through, or without a gate its hidden channels.
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };

/// How a layer of a family computes, beside its attention (AttentionTraits) and the shapes of its tensors.
struct BlockSpec {
  Norm norm = Norm::kRms;
  NormPlace place = NormPlace::kBefore;
  bool gated = true;  ///< the MLP multiplies up by its activated gate; else it activates up
};

/// Constants that a model multiplies by.
struct Multipliers {
  double embedding = 1;  ///< what tokens become
  double residual = 1;   ///< what attention and MLP add to the residual stream
  double attention = 0;  ///< scores; 0: 1 / sqrt(head_dim)
  double logits = 1;
};

/// Bounds c of x -> c tanh(x / c); 0: none.
struct SoftCaps {
  double scores = 0;
  double logits = 0;
};

}  // namespace regroup
