#include "dense_fold.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>

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

class AtenFold : public DenseFold {
 public:
  void accumulate(const HeadMatrix& matrix, std::span<const double> block, std::span<double> acc,
                  int64_t width, bool first) const override {
    const auto d = static_cast<int64_t>(acc.size()) / width;
    at::Tensor out = view(acc.data(), d, width, width);  // [head_dim, width]
    if (first) out.zero_();
    out.addmm_(square(matrix), view(block.data(), d, width, width));
  }

  void rows(const HeadMatrix& matrix, double gain, std::span<double> block,
            int64_t width) const override {
    const auto d = static_cast<int64_t>(block.size()) / width;
    at::Tensor rows = view(block.data(), d, width, width);  // [head_dim, width]
    rows.copy_(at::matmul(square(matrix).t(), rows).mul_(gain));
  }

  void columns(const HeadMatrix& matrix, double gain, const HeadColumns& c) const override {
    const at::Tensor source = view(c.in.data() + c.from, c.rows, c.head_dim, c.row_size);
    at::Tensor target = view(c.out.data() + c.to, c.rows, c.head_dim, c.row_size);
    target.copy_(at::matmul(source, square(matrix)).mul_(gain));
  }
};

}  // namespace

const DenseFold& dense_fold() {
  static const AtenFold fold;
  return fold;
}

}  // namespace regroup
