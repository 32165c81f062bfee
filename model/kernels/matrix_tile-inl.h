// Small matrix products in registers, compiled once for every target: see kernel_math-inl.h.
#if defined(REGROUP_MODEL_MATRIX_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef REGROUP_MODEL_MATRIX_TILE_INL_H
#undef REGROUP_MODEL_MATRIX_TILE_INL_H
#else
#define REGROUP_MODEL_MATRIX_TILE_INL_H
#endif

#include "kernel_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

constexpr int64_t kPanel = 16;  // columns; a multiple of every target's lanes

// Accumulators of a tile: as many as the target's registers hold beside a row of b, and enough to hide the
// latency of an addition. Chosen by measurement.
#if HWY_TARGET == HWY_AVX3
constexpr int kTileRows = 8;
constexpr int kTileVectors = 2;
#elif HWY_TARGET == HWY_AVX2
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;
#else
constexpr int kTileRows = 3;
constexpr int kTileVectors = 4;
#endif

/// Element (row, col) is at data + row * row_stride + col * col_stride.
struct Strided {
  const float* data;
  int64_t row_stride;
  int64_t col_stride;
};

/// Element (row, col) is at data + col / 16 * panel_stride + row * row_stride + col % 16.
struct Panels {
  const float* data;
  int64_t row_stride;
  int64_t panel_stride;
  HWY_INLINE const float* at(int64_t col) const {
    return data + col / kPanel * panel_stride + col % kPanel;
  }
};

/// c [R, C * lanes] (+)= a [R, depth] b [depth, C * lanes]: accumulators in registers.
template <int R, int C>
HWY_NOINLINE void multiply_tile(const Strided& a, const Panels& b, int64_t col, float* c,
                                int64_t ldc, int64_t depth, bool add) {
  const Whole d;
  hn::Vec<Whole> sum[R][C];
  const float* columns[C];
  for (int n = 0; n < C; ++n) columns[n] = b.at(col + n * kLanes);
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < C; ++n) sum[r][n] = hn::Zero(d);
  }
  const float* in = a.data;
  for (int64_t k = 0; k < depth; ++k, in += a.col_stride) {
    hn::Vec<Whole> row[C];
    for (int n = 0; n < C; ++n) row[n] = hn::LoadU(d, columns[n] + k * b.row_stride);
    for (int r = 0; r < R; ++r) {
      const auto x = hn::Set(d, in[r * a.row_stride]);
      for (int n = 0; n < C; ++n) sum[r][n] = hn::MulAdd(row[n], x, sum[r][n]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < C; ++n) {
      float* out = c + r * ldc + col + n * kLanes;
      hn::StoreU(add ? hn::Add(sum[r][n], hn::LoadU(d, out)) : sum[r][n], d, out);
    }
  }
}

struct Span {
  int64_t low;
  int64_t high;
};

/// What is computed of some rows of a product: columns from and to multiples of 16, and the terms of each sum.
struct Part {
  Span cols;
  Span depth;
};

template <int R>
HWY_INLINE void multiply_rows(const Strided& a, const Panels& b, float* c, int64_t ldc,
                              const Part& part, bool add) {
  const int64_t depth = part.depth.high - part.depth.low;
  const Strided left{a.data + part.depth.low * a.col_stride, a.row_stride, a.col_stride};
  const Panels right{b.data + part.depth.low * b.row_stride, b.row_stride, b.panel_stride};
  int64_t col = part.cols.low;
  for (; col + kTileVectors * kLanes <= part.cols.high; col += kTileVectors * kLanes) {
    multiply_tile<R, kTileVectors>(left, right, col, c, ldc, depth, add);
  }
  for (; col < part.cols.high; col += kLanes) {
    multiply_tile<R, 1>(left, right, col, c, ldc, depth, add);
  }
}

/// c (+)= a b, for each tile of rows [row, row + count) what part_of(row, count) says.
template <typename PartOf>
HWY_INLINE void multiply(const Strided& a, const Panels& b, float* c, int64_t ldc, int64_t rows,
                         bool add, const PartOf& part_of) {
  for (int64_t row = 0; row < rows;) {
    const Strided from{a.data + row * a.row_stride, a.row_stride, a.col_stride};
    float* out = c + row * ldc;
    const int64_t left = rows - row;
    if (left >= kTileRows) {
      multiply_rows<kTileRows>(from, b, out, ldc, part_of(row, kTileRows), add);
      row += kTileRows;
    } else if (kTileRows > 4 && left >= 4) {
      multiply_rows<4>(from, b, out, ldc, part_of(row, 4), add);
      row += 4;
    } else if (left >= 2) {
      multiply_rows<2>(from, b, out, ldc, part_of(row, 2), add);
      row += 2;
    } else {
      multiply_rows<1>(from, b, out, ldc, part_of(row, 1), add);
      row += 1;
    }
  }
}

}  // namespace regroup::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
