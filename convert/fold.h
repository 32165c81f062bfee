#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "regroup/convert/head_transform.h"

namespace regroup {

/// The arithmetic of LayerTransform on rows and columns of one head, in float64.

/// acc (+)= matrix * block, both [head_dim, width]. The first contribution is assigned, not added:
/// 0 + -0 would lose a sign.
void accumulate(const HeadMatrix& matrix, std::span<const double> block, std::span<double> acc,
                int64_t width, bool first);

/// block = gain * matrix^T * block, [head_dim, width].
void fold_rows(const HeadMatrix& matrix, double gain, std::vector<double>& block, int64_t width);

/// Columns of one head, out of place: out[:, to..] = gain * in[:, from..] * matrix.
/// @param rows       rows of `in` and `out`, each `row_size` long
/// @param head_dim   columns of the head
void fold_columns(const HeadMatrix& matrix, double gain, std::span<const double> in,
                  std::span<double> out, int64_t rows, int64_t row_size, int64_t head_dim,
                  int64_t from, int64_t to);

}  // namespace regroup
