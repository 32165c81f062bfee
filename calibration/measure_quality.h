#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "output_head.h"
#include "regroup/convert/held_out_quality.h"

namespace regroup {

/// The final hidden states of some windows, [windows, seq, hidden].
using HiddenSource = std::function<at::Tensor(int64_t first, int64_t count)>;

/// What the converted model loses on windows of text, token by token within each window.
/// @param ids     int64 [windows, seq], on the host
/// @param parent  final hidden states of the parent, and of the converted model
HeldOutQuality measure_quality(const OutputHead& head, const at::Tensor& ids,
                               const HiddenSource& parent, const HiddenSource& converted);

/// The same for tokens that each stand alone.
/// @param count  of the tokens; the sources give [tokens, 1, hidden]
FirstTokenQuality measure_first_tokens(const OutputHead& head, int64_t count,
                                       const HiddenSource& parent, const HiddenSource& converted);

}  // namespace regroup
