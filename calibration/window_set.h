#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "activation_store.h"
#include "regroup/checkpoint/config.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/model/layer.h"

namespace regroup {

/// Windows of one length on their way through the parent and the converted model.
struct WindowSet {
  /// @param tokens   int64 [windows, seq]
  /// @param options  say which of the stores there are, and where
  WindowSet(const ModelConfig& config, const WindowSizes& cut, const at::Tensor& tokens,
            const CalibrationOptions& options, at::Device device);

  /// body(first window, number of windows) for a few of the windows [first, last) at a time.
  template <typename Body>
  void for_chunks(int64_t first, int64_t last, const Body& body) const {
    for (int64_t at = first; at < last; at += at_once) body(at, std::min(at_once, last - at));
  }

  WindowSizes sizes;
  at::Tensor ids;
  int64_t at_once;  ///< windows that are run together
  RopeTables rope;
  ActivationStore parent;     ///< the residual stream before a layer, or past its attention
  ActivationStore converted;  ///< the same of the converted model
  /// The parent's before the attention past which it is, where Wo is refitted; then what the steps are to reach.
  std::optional<ActivationStore> before;
  /// Where steps follow the refit, what the heads of the layer gave it: [windows, seq, n_heads * head_dim].
  std::optional<ActivationStore> heads;
};

}  // namespace regroup
