#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "regroup/convert/head_transform.h"

namespace regroup {

/// The arithmetic of LayerTransform on rows and columns of one head, in float64.

/// Columns of one head in rows of many heads.
struct HeadColumns {
  std::span<const double> in;
  std::span<double> out;
  int64_t rows;      ///< of `in` and `out`
  int64_t row_size;  ///< how long each of them is
  int64_t head_dim;  ///< columns of the head,
  int64_t from;      ///< where they begin in `in`
  int64_t to;        ///< and in `out`
};

/// The part of dense head matrices. Only methods that read weights have some, so it lies with LibTorch.
class DenseFold {
 public:
  virtual ~DenseFold() = default;
  virtual void accumulate(const HeadMatrix& matrix, std::span<const double> block,
                          std::span<double> acc, int64_t width, bool first) const = 0;
  virtual void rows(const HeadMatrix& matrix, double gain, std::vector<double>& block,
                    int64_t width) const = 0;
  virtual void columns(const HeadMatrix& matrix, double gain, const HeadColumns& columns) const = 0;
};

class Fold {
 public:
  /// @param dense  null: no matrix is dense
  explicit Fold(const DenseFold* dense) : dense_(dense) {}

  /// acc (+)= matrix * block, both [head_dim, width]. The first contribution is assigned, not added:
  /// 0 + -0 would lose a sign.
  void accumulate(const HeadMatrix& matrix, std::span<const double> block, std::span<double> acc,
                  int64_t width, bool first) const;

  /// block = gain * matrix^T * block, [head_dim, width].
  void rows(const HeadMatrix& matrix, double gain, std::vector<double>& block, int64_t width) const;

  /// Columns of one head, out of place: out[:, to..] = gain * in[:, from..] * matrix.
  void columns(const HeadMatrix& matrix, double gain, const HeadColumns& columns) const;

 private:
  const DenseFold& dense() const;  ///< @throws std::logic_error where there is none

  const DenseFold* dense_;
};

}  // namespace regroup
