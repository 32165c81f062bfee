#include "regroup/convert/fold.h"

#include <algorithm>
#include <stdexcept>

namespace regroup {

const DenseFold& Fold::dense() const {
  if (dense_ == nullptr) throw std::logic_error("a dense head matrix without a DenseFold");
  return *dense_;
}

void Fold::accumulate(const HeadMatrix& matrix, std::span<const double> block,
                      std::span<double> acc, int64_t width, bool first) const {
  if (!matrix.dense.empty()) return dense().accumulate(matrix, block, acc, width, first);
  const double scale = matrix.scale;
  if (first) {
    std::transform(block.begin(), block.end(), acc.begin(), [=](double x) { return scale * x; });
  } else {
    for (size_t i = 0; i < acc.size(); ++i) acc[i] += scale * block[i];
  }
}

void Fold::rows(const HeadMatrix& matrix, double gain, std::vector<double>& block,
                int64_t width) const {
  if (!matrix.dense.empty()) return dense().rows(matrix, gain, block, width);
  const double factor = gain * matrix.scale;
  if (factor == 1.0) return;
  for (double& x : block) x *= factor;
}

void Fold::columns(const HeadMatrix& matrix, double gain, const HeadColumns& c) const {
  if (!matrix.dense.empty()) return dense().columns(matrix, gain, c);
  const double factor = gain * matrix.scale;
  for (int64_t row = 0; row < c.rows; ++row) {
    const auto source = c.in.subspan(static_cast<size_t>(row * c.row_size + c.from),
                                     static_cast<size_t>(c.head_dim));
    const auto target = c.out.subspan(static_cast<size_t>(row * c.row_size + c.to));
    std::transform(source.begin(), source.end(), target.begin(),
                   [=](double x) { return factor * x; });
  }
}

}  // namespace regroup
