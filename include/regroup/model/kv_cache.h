#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// K and V of past tokens, one pair a layer: [sequences, n_kv_heads, capacity, head_dim]. Sequences may be of
/// different lengths.
class KvCache {
 public:
  /// `batch` sequences without a token.
  KvCache(const ModelConfig& config, int64_t batch, int64_t capacity, at::ScalarType dtype,
          at::Device device);
  /// Of the longest sequence.
  int64_t length() const;
  /// [sequences]
  const std::vector<int64_t>& lengths() const { return lengths_; }
  /// Whether all sequences are equally long.
  bool is_even() const;
  int64_t capacity() const { return capacity_; }
  int64_t bytes() const;
  /// Appends [sequences, n_kv_heads, new, head_dim] to `layer` and returns all of K and V so far; behind a shorter
  /// sequence stands what must not be read. advance() follows when all layers have theirs.
  std::pair<at::Tensor, at::Tensor> append(int64_t layer, const at::Tensor& k, const at::Tensor& v);
  void advance(int64_t tokens);

  /// Another sequence behind the others: the only one of `other`.
  void add(const KvCache& other);
  /// Sequence `index` ends; the last one takes its place.
  void remove(int64_t index);

  /// Makes up a past of `length` tokens, within the capacity: numbers like those of a model, for measuring speed.
  void make_up(int64_t length);
  /// Forgets the tokens from `length` on.
  void cut(int64_t length);

 private:
  void reserve(size_t layer, int64_t rows, int64_t capacity);

  std::vector<at::Tensor> keys_;
  std::vector<at::Tensor> values_;
  std::vector<int64_t> lengths_;
  int64_t capacity_ = 0;
};

}  // namespace regroup
