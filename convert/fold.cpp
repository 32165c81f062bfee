#include "fold.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <cmath>

namespace regroup {
namespace {

/// A view; `data` must outlive it.
at::Tensor view(const double* data, int64_t rows, int64_t columns, int64_t row_stride) {
  return at::from_blob(const_cast<double*>(data), {rows, columns}, {row_stride, 1},
                       at::TensorOptions().dtype(at::kDouble));
}

at::Tensor square(const HeadMatrix& matrix) {
  const auto d = static_cast<int64_t>(std::lround(std::sqrt(matrix.dense.size())));
  return view(matrix.dense.data(), d, d, d);
}

}  // namespace

void accumulate(const HeadMatrix& matrix, std::span<const double> block, std::span<double> acc,
                int64_t width, bool first) {
  if (matrix.dense.empty()) {
    const double scale = matrix.scale;
    if (first) {
      std::transform(block.begin(), block.end(), acc.begin(), [=](double x) { return scale * x; });
    } else {
      for (size_t i = 0; i < acc.size(); ++i) acc[i] += scale * block[i];
    }
    return;
  }
  const auto d = static_cast<int64_t>(acc.size()) / width;
  at::Tensor out = view(acc.data(), d, width, width);  // [head_dim, width]
  if (first) out.zero_();
  out.addmm_(square(matrix), view(block.data(), d, width, width));
}

void fold_rows(const HeadMatrix& matrix, double gain, std::vector<double>& block, int64_t width) {
  if (matrix.dense.empty()) {
    const double factor = gain * matrix.scale;
    if (factor == 1.0) return;
    for (double& x : block) x *= factor;
    return;
  }
  const auto d = static_cast<int64_t>(block.size()) / width;
  at::Tensor rows = view(block.data(), d, width, width);  // [head_dim, width]
  rows.copy_(at::matmul(square(matrix).t(), rows).mul_(gain));
}

void fold_columns(const HeadMatrix& matrix, double gain, std::span<const double> in,
                  std::span<double> out, int64_t rows, int64_t row_size, int64_t head_dim,
                  int64_t from, int64_t to) {
  const at::Tensor source = view(in.data() + from, rows, head_dim, row_size);
  at::Tensor target = view(out.data() + to, rows, head_dim, row_size);
  if (matrix.dense.empty()) {
    const double factor = gain * matrix.scale;
    target.copy_(factor == 1.0 ? source : source.mul(factor));
    return;
  }
  target.copy_(at::matmul(source, square(matrix)).mul_(gain));
}

}  // namespace regroup
