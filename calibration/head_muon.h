#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/model/layer.h"

namespace regroup {

/// Muon's orthogonalised momentum (Jordan et al. 2024) on Wq, Wk, Wv and Wo of one layer, head by head: every
/// head moves by the same share of its own size. Biases of q, k and v move by the same share along their
/// momentum.
class HeadMuon {
 public:
  /// The layer's tensors become leaves that require gradients, copies of what they were.
  HeadMuon(const ModelConfig& config, LayerWeights& layer);
  /// In the order that step() takes their gradients.
  const std::vector<at::Tensor>& leaves() const { return leaves_; }
  /// @param learning_rate  size of the step relative to the weights' own
  void step(const std::vector<at::Tensor>& gradients, double learning_rate);

  std::vector<at::Tensor> weights() const;  ///< copies
  /// Goes back to such copies; momentum begins anew.
  void restore(const std::vector<at::Tensor>& weights);

 private:
  void add(at::Tensor& weights);
  at::Tensor heads(const at::Tensor& x, size_t index) const;
  void step_matrix(size_t index, const at::Tensor& ahead, double learning_rate);
  void step_vector(size_t index, const at::Tensor& ahead, double learning_rate);

  int64_t head_dim_;
  std::vector<at::Tensor> leaves_;  // qkv, Wo (its heads are blocks of columns), biases of qkv
  std::vector<at::Tensor> momenta_;
};

/// The layer's attention without gradients again.
void detach_attention(LayerWeights& layer);

}  // namespace regroup
