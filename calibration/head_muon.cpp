#include "head_muon.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

namespace regroup {
namespace {

using at::Tensor;

constexpr double kMomentum = 0.9;
constexpr size_t kOutput = 1;  // of the leaves

/// The matrix with the singular directions of x [blocks, rows, columns], rows <= columns, and singular
/// values near 1: five Newton-Schulz steps with Muon's coefficients. A step multiplies y by a polynomial p of
/// a = y y^T, all of which commute: so p is gathered in `all` and a follows as p a p, rows x rows each.
Tensor orthogonalised(const Tensor& x) {
  const Tensor y = x.div(x.norm(2, {1, 2}, true).add(1e-12));
  Tensor a = at::bmm(y, y.transpose(1, 2));
  const Tensor one = at::eye(a.size(1), a.options());
  Tensor all;
  for (int i = 0; i < 5; ++i) {
    const Tensor p = a.mul(-4.7750).add(at::bmm(a, a), 2.0315).add(one, 3.4445);
    all = all.defined() ? at::bmm(p, all) : p;
    if (i < 4) a = at::bmm(at::bmm(p, a), p);
  }
  return at::bmm(all, y);
}

/// A float64 scalar.
Tensor root_mean_square(const Tensor& x) {
  return x.norm().to(at::kDouble).div(std::sqrt(static_cast<double>(x.numel())));
}

}  // namespace

HeadMuon::HeadMuon(const ModelConfig& config, LayerWeights& layer) : head_dim_(config.head_dim) {
  add(layer.qkv);
  add(layer.output);
  if (layer.qkv_bias.defined()) add(layer.qkv_bias);
}

void HeadMuon::add(Tensor& weights) {
  weights = weights.detach().clone().set_requires_grad(true);
  leaves_.push_back(weights);
  momenta_.push_back(at::zeros_like(weights.detach()));
}

/// [heads, head_dim, width] of a matrix; a view.
Tensor HeadMuon::heads(const Tensor& x, size_t index) const {
  return index == kOutput ? x.unflatten(1, {-1, head_dim_}).permute({1, 2, 0})
                          : x.unflatten(0, {-1, head_dim_});
}

void HeadMuon::step(const std::vector<Tensor>& gradients, double learning_rate) {
  const c10::NoGradGuard no_gradients;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    momenta_[i].mul_(kMomentum).add_(gradients[i], 1 - kMomentum);
    const Tensor ahead = momenta_[i].mul(kMomentum).add_(gradients[i], 1 - kMomentum);
    if (leaves_[i].dim() == 1) {
      step_vector(i, ahead, learning_rate);
    } else {
      step_matrix(i, ahead, learning_rate);
    }
  }
}

void HeadMuon::step_vector(size_t index, const Tensor& ahead, double learning_rate) {
  const Tensor size = root_mean_square(ahead);
  const Tensor factor = root_mean_square(leaves_[index]).mul(learning_rate).div(size);
  leaves_[index].sub_(ahead.mul(factor.masked_fill(size.le(0), 0)));  // nothing to follow: no step
}

void HeadMuon::step_matrix(size_t index, const Tensor& ahead, double learning_rate) {
  const Tensor direction = orthogonalised(heads(ahead, index).contiguous());
  const Tensor rows = heads(leaves_[index], index);
  // [heads, 1, 1]: a step's size in terms of the head's own weights
  const auto width = static_cast<double>(rows.size(1) * rows.size(2));
  const Tensor size = rows.norm(2, {1, 2}, true).div(std::sqrt(width));
  const Tensor unit = direction.norm(2, {1, 2}, true).div(std::sqrt(width)).add(1e-12);
  rows.sub_(direction.mul(size.div(unit)), learning_rate);
}

std::vector<Tensor> HeadMuon::weights() const {
  std::vector<Tensor> copies;
  for (const Tensor& leaf : leaves_) copies.push_back(leaf.detach().clone());
  return copies;
}

void HeadMuon::restore(const std::vector<Tensor>& weights) {
  const c10::NoGradGuard no_gradients;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    leaves_[i].copy_(weights[i]);
    momenta_[i].zero_();
  }
}

void detach_attention(LayerWeights& layer) {
  layer.qkv = layer.qkv.detach();
  layer.output = layer.output.detach();
  if (layer.qkv_bias.defined()) layer.qkv_bias = layer.qkv_bias.detach();
}

}  // namespace regroup
