#include "output_refit.h"

#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <vector>

namespace regroup {

using at::Tensor;

namespace {

// Ridges, of the mean diagonal of the heads' moment.
constexpr double kSmallestRidge = 1e-4;
constexpr double kLargestRidge = 10;
constexpr double kRidgeStride = 1.7782794100389228;  // four a decade

/// A change of Wo in two parts, each with a ridge and a factor of its own: delta_p = beta_p (A + ridge_p I)^-1
/// gap_p, in the basis where A is diagonal. What held-out tokens say of it is a quadratic form of the four numbers.
class TwoChanges {
 public:
  /// @param values        eigenvalues of A, [heads]   @param size  their mean
  /// @param own, carried  gaps of both parts, [heads, hidden]
  /// @param wanted        their sum on held-out tokens   @param seen  those tokens' moment, [heads, heads]
  TwoChanges(const Tensor& values, double size, const Tensor& own, const Tensor& carried,
             const Tensor& wanted, const Tensor& seen)
      : own_(own), carried_(carried) {
    for (double ridge = kSmallestRidge; ridge <= kLargestRidge; ridge *= kRidgeStride) {
      shrunk_.push_back(values.add(ridge * size).reciprocal());
    }
    const Tensor s = at::stack(shrunk_);  // [ridges, heads]
    const auto along = [&](const Tensor& gap) { return at::mv(s, wanted.mul(gap).sum(1)); };
    const auto curve = [&](const Tensor& p, const Tensor& q) {
      return at::matmul(at::matmul(s, seen.mul(at::matmul(p, q.t()))), s.t());
    };
    own_along_ = along(own);
    carried_along_ = along(carried);
    own_curve_ = curve(own, own).diagonal().clone();
    carried_curve_ = curve(carried, carried).diagonal().clone();
    cross_ = curve(own, carried);
  }

  /// The changes that gain most on held-out tokens, [heads, hidden] each; zero where none does.
  std::pair<Tensor, Tensor> best() const {
    double max = 0;
    Choice choice;
    for (int64_t i = 0; i < own_along_.size(0); ++i) {
      for (int64_t j = 0; j < own_along_.size(0); ++j) {
        const Choice c = factors(i, j);
        if (!(c.gain > max)) continue;
        max = c.gain;
        choice = c;
      }
    }
    const auto part = [&](int64_t ridge, double beta, const Tensor& gap) {
      return gap.mul(shrunk_[static_cast<size_t>(ridge)].mul(beta).unsqueeze(1));
    };
    return {part(choice.own, choice.own_beta, own_),
            part(choice.carried, choice.carried_beta, carried_)};
  }

 private:
  struct Choice {
    int64_t own = 0;
    int64_t carried = 0;
    double own_beta = 0;
    double carried_beta = 0;
    double gain = 0;
  };

  /// Of the square with corners 0 and 1, the point with the largest gain 2 <b, along> - <b, curve b>.
  Choice factors(int64_t i, int64_t j) const {
    const double a1 = own_along_.data_ptr<double>()[i];
    const double a2 = carried_along_.data_ptr<double>()[j];
    const double c1 = own_curve_.data_ptr<double>()[i];
    const double c2 = carried_curve_.data_ptr<double>()[j];
    const double c12 = cross_.data_ptr<double>()[i * cross_.size(1) + j];
    Choice best{.own = i, .carried = j};
    const auto offer = [&](double x, double y) {
      if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return;
      const double gain = 2 * (x * a1 + y * a2) - (x * x * c1 + 2 * x * y * c12 + y * y * c2);
      if (gain > best.gain) best = {i, j, x, y, gain};
    };
    const double determinant = c1 * c2 - c12 * c12;
    offer((a1 * c2 - a2 * c12) / determinant, (a2 * c1 - a1 * c12) / determinant);
    for (const double edge : {0.0, 1.0}) {
      offer(edge, std::clamp((a2 - edge * c12) / c2, 0.0, 1.0));
      offer(std::clamp((a1 - edge * c12) / c1, 0.0, 1.0), edge);
    }
    return best;
  }

  Tensor own_;
  Tensor carried_;
  std::vector<Tensor> shrunk_;  // by ridge: 1 / (eigenvalue + ridge)
  Tensor own_along_, carried_along_, own_curve_, carried_curve_;  // [ridges]
  Tensor cross_;                                                  // [ridges of own, of carried]
};

}  // namespace

Tensor OutputChange::added_to(const Tensor& start) const {
  return start.to(at::kCPU, at::kDouble).add(own).add(carried);
}

OutputRefit::OutputRefit(int64_t heads_size, int64_t hidden_size, at::Device device)
    : moment_(at::zeros({heads_size, heads_size},
                        at::TensorOptions().dtype(at::kDouble).device(device))),
      own_(at::zeros({heads_size, hidden_size}, moment_.options())),
      carried_(at::zeros_like(own_)),
      energy_(at::zeros({}, moment_.options())) {}

void OutputRefit::add(const Tensor& heads, const Tensor& own, const Tensor& carried,
                      const Tensor& weight, const Tensor& bias) {
  const Tensor root = weight.sqrt();
  const auto rows = [&](const Tensor& x) { return x.mul(root).reshape({-1, x.size(-1)}); };
  const Tensor a = rows(heads);
  moment_.add_(at::mm(a.t(), a).to(at::kDouble));
  own_.add_(at::mm(a.t(), rows(bias.defined() ? own.sub(bias) : own)).to(at::kDouble));
  carried_.add_(at::mm(a.t(), rows(carried)).to(at::kDouble));
  energy_.add_(own.add(carried).square().mul(weight).sum(at::kDouble));
}

void OutputRefit::join(const OutputRefit& other, double ratio) {
  // A set that wants nothing has nothing to be measured by.
  const Tensor factor = energy_.div(other.energy_).mul(ratio).masked_fill(other.energy_.le(0), 0);
  moment_.add_(other.moment_.mul(factor));
  own_.add_(other.own_.mul(factor));
  carried_.add_(other.carried_.mul(factor));
}

Tensor OutputRefit::moment() const {
  const Tensor host = moment_.to(at::kCPU);
  return host.add(host.t()).mul(0.5);
}

Tensor OutputRefit::own_gap(const Tensor& start) const {
  return own_.to(at::kCPU).sub(at::matmul(moment(), start));
}

Tensor OutputRefit::carried_gap() const { return carried_.to(at::kCPU); }

OutputChange OutputRefit::solve(const Tensor& start, const OutputRefit& held_out) const {
  const Tensor before = start.to(at::kCPU, at::kDouble).t();  // [heads, hidden]
  const Tensor a = moment();
  const double size = a.diagonal().mean().item<double>();
  // Heads that give nothing fit anything: what is there stays.
  if (!(size > 0)) return {at::zeros_like(before.t()), at::zeros_like(before.t())};
  // In the basis where A is diagonal. A moment summed in float32 may have eigenvalues as far below zero as
  // its rounding.
  const auto [eigenvalues, basis] = at::linalg_eigh(a);
  const Tensor values = eigenvalues.clamp_min(0);
  const auto turned = [&, &u = basis](const Tensor& gap) { return at::matmul(u.t(), gap); };
  const Tensor own = turned(own_gap(before));
  const Tensor carried = turned(carried_gap());
  const Tensor wanted = turned(held_out.own_gap(before).add(held_out.carried_gap()));
  const Tensor seen = at::matmul(turned(held_out.moment()), basis);
  const auto [own_change, carried_change] =
      TwoChanges(values, size, own, carried, wanted, seen).best();
  const auto back = [&, &u = basis](const Tensor& change) {
    return at::matmul(u, change).t().contiguous();
  };
  return {back(own_change), back(carried_change)};
}

}  // namespace regroup
