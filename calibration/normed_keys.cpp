#include "normed_keys.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/real.h>

#define EIGEN_DONT_PARALLELIZE  // the caller shares groups out among the cores
#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

namespace regroup {
namespace {

using at::Tensor;

constexpr double kRidge = 1e-9;  // of the keys' mean energy: the moment of equal heads is singular
constexpr double kNothing = 1e-300;  // still divides

std::vector<double> plain(const Tensor& tensor) {
  const Tensor dense = tensor.contiguous();
  return {dense.data_ptr<double>(), dense.data_ptr<double>() + dense.numel()};
}

}  // namespace

NormedKeys::NormedKeys(const HeadMoments& moments, int64_t readers)
    : n_heads_(moments.key.size(1)) {
  Tensor moment = at::real(moments.key);                                        // [planes, kv, kv]
  Tensor energy = moments.query_energy.unflatten(0, {-1, readers}).sum(1).t();  // [planes, kv]
  if (const int64_t rest = moments.key_rest.metric.size(1); rest > 0) {
    const Tensor own = moments.key_rest.metric.diagonal(0, 1, 2).sum(-1);  // [kv]
    moment = at::cat({moment, moments.key_rest.cross.diagonal(0, 2, 3).sum(-1).unsqueeze(0)});
    energy = at::cat({energy, own.mul(kRestWeight / static_cast<double>(rest)).unsqueeze(0)});
  }
  n_parts_ = moment.size(0);
  moment_ = plain(moment);
  energy_ = plain(energy);
}

NormedKeys::Merge NormedKeys::merge(const Members& members) const {
  const auto m = static_cast<Eigen::Index>(members.size());
  Eigen::MatrixXd moment = Eigen::MatrixXd::Zero(m, m);
  Eigen::MatrixXd seen = Eigen::MatrixXd::Zero(m, m);  // by all readers
  Eigen::VectorXd wanted = Eigen::VectorXd::Zero(m);
  double total = 0;
  for (int64_t part = 0; part < n_parts_; ++part) {
    Eigen::VectorXd energy(m);
    Eigen::MatrixXd block(m, m);
    for (Eigen::Index i = 0; i < m; ++i) {
      const int64_t row = part * n_heads_ + members[static_cast<size_t>(i)];
      energy[i] = energy_[static_cast<size_t>(row)];
      for (Eigen::Index j = 0; j < m; ++j) {
        block(i, j) =
            moment_[static_cast<size_t>(row * n_heads_ + members[static_cast<size_t>(j)])];
      }
    }
    energy = energy.cwiseMax(min_query_energy(energy.mean())).eval();
    moment += block;
    seen += energy.sum() * block;
    wanted += block.transpose() * energy;
    total += energy.dot(block.diagonal());
  }
  const double mean = moment.trace() / static_cast<double>(m);
  const Eigen::MatrixXd ridged =
      moment + (kRidge * mean + kNothing) * Eigen::MatrixXd::Identity(m, m);
  Eigen::VectorXd e = ridged.ldlt().solve(wanted).cwiseMax(0.0);
  if (!(e.dot(moment * e) > 0)) e = Eigen::VectorXd::Ones(m);
  const double merged = e.dot(moment * e);
  e *= merged > 0 ? std::sqrt(mean / merged) : 1 / static_cast<double>(m);
  return {.factors = {e.data(), e.data() + m},
          .lost = std::max(0.0, total - 2 * e.dot(wanted) + e.dot(seen * e))};
}

}  // namespace regroup
