#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

namespace regroup {

/// What makes logits of final hidden states.
struct LmHead {
  LmHead() = default;
  LmHead(at::Tensor w, at::Tensor b = {}, double bound = 0)  // NOLINT: a weight alone is a head
      : weight(std::move(w)), bias(std::move(b)), cap(bound) {}

  at::Tensor weight;  ///< [vocab, hidden]
  at::Tensor bias;    ///< [vocab] or undefined
  double cap =
      0;  ///< logits x become cap tanh(x / cap) (arXiv:2408.00118, section 2); 0: they stay

  int64_t vocab_size() const { return weight.size(0); }
  /// hidden [..., hidden] -> [..., vocab], in the type of `hidden`.
  at::Tensor logits(const at::Tensor& hidden) const;
  /// The same in float32 from the projection on.
  at::Tensor wide_logits(const at::Tensor& hidden) const;
  /// Multiplies `gradient`, by `wide` = wide_logits(), in place: what it is by the projection's output.
  void back_through_cap_(const at::Tensor& gradient, const at::Tensor& wide) const;
};

}  // namespace regroup
