#include "group_prices.h"

#define EIGEN_DONT_PARALLELIZE  // the caller shares groups out among the cores
#include <Eigen/Eigenvalues>
#include <algorithm>

namespace regroup {
namespace {

template <typename T>
std::vector<T> plain(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.resolve_conj().contiguous();
  const auto* data = static_cast<const T*>(dense.data_ptr());
  return {data, data + dense.numel()};
}

/// Eigenvalues of a Hermitian matrix, ascending.
template <typename Matrix>
Eigen::VectorXd eigenvalues(const Matrix& matrix) {
  return Eigen::SelfAdjointEigenSolver<Matrix>(matrix, Eigen::EigenvaluesOnly).eigenvalues();
}

}  // namespace

GroupPrices::Vectors::Vectors(const VectorMoments& moments)
    : n_heads(moments.cross.size(0)),
      n(moments.cross.size(2)),
      cross(plain<double>(n == 0 ? moments.cross : in_metric(moments))) {}

GroupPrices::GroupPrices(const HeadMoments& moments, int64_t readers)
    : n_planes_(moments.key.size(0)),
      n_heads_(moments.key.size(1)),
      key_(plain<std::complex<double>>(moments.key)),
      query_energy_(plain<double>(moments.query_energy.unflatten(0, {-1, readers}).sum(1))),
      rest_(moments.key_rest),
      value_(moments.value) {
  if (moments.key_size.defined()) normed_.emplace(moments, readers);
}

double GroupPrices::keys(const Members& members) const {
  if (normed_) return normed_->merge(members).lost;
  const auto m = static_cast<Eigen::Index>(members.size());
  double total = 0;
  double kept = 0;
  for (int64_t plane = 0; plane < n_planes_; ++plane) {
    Eigen::VectorXd energy(m);
    for (Eigen::Index i = 0; i < m; ++i) {
      energy[i] = query_energy_[static_cast<size_t>(members[i] * n_planes_ + plane)];
    }
    const double floor = min_query_energy(energy.mean());
    const Eigen::VectorXd weight = energy.cwiseMax(floor).cwiseSqrt();
    Eigen::MatrixXcd block(m, m);
    for (Eigen::Index i = 0; i < m; ++i) {
      for (Eigen::Index j = 0; j < m; ++j) {
        const int64_t at = (plane * n_heads_ + members[i]) * n_heads_ + members[j];
        block(i, j) = weight[i] * weight[j] * key_[static_cast<size_t>(at)];
      }
    }
    const Eigen::VectorXd values = eigenvalues(block);
    total += values.sum();
    kept += values[m - 1];
  }
  return (total > 0 ? std::max(0.0, total - kept) : 0.0) + kRestWeight * lost(rest_, members);
}

double GroupPrices::lost(const Vectors& vectors, const Members& members) {
  const int64_t n = vectors.n;
  if (n == 0) return 0;
  const auto m = static_cast<int64_t>(members.size());
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::MatrixXd block(m * n, m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      const double* part =
          vectors.cross.data() + (members[i] * vectors.n_heads + members[j]) * n * n;
      block.block(i * n, j * n, n, n) = Eigen::Map<const RowMajor>(part, n, n);
    }
  }
  return eigenvalues(block).head((m - 1) * n).cwiseMax(0.0).sum();
}

}  // namespace regroup
