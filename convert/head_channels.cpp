#include "head_channels.h"

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

HeadChannels head_channels(const ModelConfig& config) {
  HeadChannels channels{.head_dim = config.head_dim, .real = {}, .imaginary = {}, .rest = {}};
  const int64_t planes =
      config.attention.position == AttentionTraits::Position::kRotary ? config.rotary_dim / 2 : 0;
  const bool halves = config.attention.layout == AttentionTraits::Layout::kHalves;
  for (int64_t l = 0; l < planes; ++l) {
    channels.real.push_back(halves ? l : 2 * l);
    channels.imaginary.push_back(halves ? l + planes : 2 * l + 1);
  }
  for (int64_t i = 2 * planes; i < config.head_dim; ++i) channels.rest.push_back(i);
  return channels;
}

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
