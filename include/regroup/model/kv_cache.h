#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// K and V of past tokens, one pair a layer: [batch, n_kv_heads, capacity, head_dim].
class KvCache {
 public:
  KvCache(const ModelConfig& config, int64_t batch, int64_t capacity, at::ScalarType dtype,
          at::Device device);
  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  int64_t bytes() const;
  /// Appends [batch, n_kv_heads, new, head_dim] to `layer` and returns all of K and V so far.
  std::pair<at::Tensor, at::Tensor> append(int64_t layer, const at::Tensor& k, const at::Tensor& v);
  void advance(int64_t tokens) { length_ += tokens; }
  /// The past of rows `rows` [n] int64 of the batch, copied, with room for `more` tokens behind it.
  KvCache select(const at::Tensor& rows, int64_t more) const;

  /// Makes up a past of `length` tokens, within the capacity: numbers like those of a model, for measuring speed.
  void make_up(int64_t length);
  /// Forgets the tokens from `length` on.
  void cut(int64_t length) { length_ = length; }

 private:
  KvCache() = default;

  std::vector<at::Tensor> keys_;
  std::vector<at::Tensor> values_;
  int64_t capacity_ = 0;
  int64_t length_ = 0;
};

}  // namespace regroup
