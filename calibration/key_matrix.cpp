#include "key_matrix.h"

#include <ATen/ops/complex.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/real.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

namespace regroup {
namespace {

using at::Tensor;

Tensor index_of(const std::vector<int64_t>& channels) { return at::tensor(channels, at::kLong); }

/// matrix[rows[i]][columns[i]], [i]
Tensor entries(const Tensor& matrix, const std::vector<int64_t>& rows,
               const std::vector<int64_t>& columns) {
  return matrix.index({index_of(rows), index_of(columns)});
}

}  // namespace

Tensor key_matrix(const HeadChannels& channels, const Tensor& planes, const Tensor& rest) {
  const Tensor matrix = at::zeros({channels.head_dim, channels.head_dim}, at::kDouble);
  const Tensor re = index_of(channels.real);
  const Tensor im = index_of(channels.imaginary);
  const Tensor a = at::real(planes);
  const Tensor b = at::imag(planes);
  matrix.index_put_({re, re}, a);
  matrix.index_put_({im, im}, a);
  matrix.index_put_({re, im}, b.neg());
  matrix.index_put_({im, re}, b);
  const Tensor others = index_of(channels.rest);
  matrix.index_put_({others.unsqueeze(1), others.unsqueeze(0)}, rest);
  return matrix;
}

Tensor plane_part(const HeadChannels& channels, const Tensor& matrix) {
  return at::complex(entries(matrix, channels.real, channels.real).contiguous(),
                     entries(matrix, channels.imaginary, channels.real).contiguous());
}

Tensor rest_part(const HeadChannels& channels, const Tensor& matrix) {
  const Tensor others = index_of(channels.rest);
  return matrix.index_select(0, others).index_select(1, others);
}

}  // namespace regroup
