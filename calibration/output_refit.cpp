#include "output_refit.h"

#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

namespace regroup {
namespace {

constexpr double kRidge = 1e-4;   // of the mean diagonal of the heads' moment
constexpr int kMostAttempts = 8;  // the last ridge is 1000 times that mean, beyond any rounding

}  // namespace

OutputRefit::OutputRefit(int64_t heads_size, int64_t hidden_size, at::Device device)
    : moment_(at::zeros({heads_size, heads_size},
                        at::TensorOptions().dtype(at::kDouble).device(device))),
      cross_(at::zeros({heads_size, hidden_size}, moment_.options())),
      energy_(at::zeros({}, moment_.options())) {}

void OutputRefit::add(const at::Tensor& heads, const at::Tensor& wanted, const at::Tensor& weight,
                      const at::Tensor& bias) {
  const at::Tensor root = weight.sqrt();
  const at::Tensor a = heads.mul(root).reshape({-1, moment_.size(0)});
  const at::Tensor fitted = bias.defined() ? wanted.sub(bias) : wanted;
  const at::Tensor y = fitted.mul(root).reshape({-1, cross_.size(1)});
  moment_.add_(at::mm(a.t(), a).to(at::kDouble));
  cross_.add_(at::mm(a.t(), y).to(at::kDouble));
  energy_.add_(wanted.square().mul(weight).sum(at::kDouble));
}

void OutputRefit::join(const OutputRefit& other, double ratio) {
  // A set that wants nothing has nothing to be measured by.
  const at::Tensor factor =
      energy_.div(other.energy_).mul(ratio).masked_fill(other.energy_.le(0), 0);
  moment_.add_(other.moment_.mul(factor));
  cross_.add_(other.cross_.mul(factor));
}

at::Tensor OutputRefit::solve(const at::Tensor& start) const {
  const at::Tensor before = start.to(at::kCPU, at::kDouble).t();  // [heads, hidden]
  const at::Tensor moment = moment_.to(at::kCPU);
  const at::Tensor symmetric = moment.add(moment.t()).mul(0.5);
  const double size = moment.diagonal().mean().item<double>();
  // Heads that give nothing fit anything: what is there stays.
  if (!(size > 0)) return start.to(at::kCPU, at::kDouble).contiguous();
  // In terms of the change: (A + ridge I) delta = cross - A start.
  const at::Tensor gap = cross_.to(at::kCPU).sub(at::matmul(moment, before));
  // A moment summed in float32 may have eigenvalues as far below zero as its rounding.
  double ridge = kRidge * size;
  for (int attempt = 0; attempt < kMostAttempts; ++attempt, ridge *= 10) {
    const at::Tensor regular = symmetric.add(at::eye(moment.size(0), at::kDouble).mul(ridge));
    const auto [factor, info] = at::linalg_cholesky_ex(regular);
    if (info.item<int64_t>() != 0) continue;
    return before.add(at::cholesky_solve(gap, factor)).t().contiguous();
  }
  return start.to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace regroup
