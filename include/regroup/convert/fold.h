#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "regroup/convert/head_transform.h"

namespace regroup {

/// The arithmetic of LayerTransform, head by head in float64: for weights that stream through a few buffers and for those of a
/// layer in memory alike.

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
  virtual void rows(const HeadMatrix& matrix, double gain, std::span<double> block,
                    int64_t width) const = 0;
  virtual void columns(const HeadMatrix& matrix, double gain, const HeadColumns& columns) const = 0;
};

/// Fills `block` with a head of the parent, [head_dim, width]. @param head  its place there
using ReadHead = std::function<void(int64_t head, std::span<double> block)>;

/// The heads that become one, of either side.
enum class KvSide { kKey, kValue };

class Fold {
 public:
  /// @param dense    null: no matrix is dense
  /// @param members  parent KV heads a group
  /// @param readers  query heads a parent KV head
  Fold(const DenseFold* dense, int64_t members, int64_t readers)
      : dense_(dense), members_(members), readers_(readers) {}

  /// merged = (sum_i E_i W_i) / divisor over the members of `group`, [head_dim, width]. Reads every member, if only to
  /// have its bytes checked.
  void merge(const LayerTransform& transform, KvSide side, int64_t group, int64_t width,
             const ReadHead& read, std::span<double> merged) const;

  /// Gains of the norm of keys (AttentionTraits::has_gains_of_heads), [head_dim]: the mean of the members', weighted as
  /// their keys are.
  void merge_gains(const LayerTransform& transform, int64_t group, const ReadHead& read,
                   std::span<double> merged) const;

  /// block = gamma D^T Wq of the query head at the new place `query`, [head_dim, width].
  void query(const LayerTransform& transform, int64_t query, int64_t width, const ReadHead& read,
             std::span<double> block) const;

  /// out[:, to..] = eta in[:, from..] D: columns of Wo of the query head at the new place `query`.
  void output(const LayerTransform& transform, int64_t query, const HeadColumns& columns) const;

  /// Where the query head at the new place `query` is in the parent.
  int64_t old_query(const LayerTransform& transform, int64_t query) const;

 private:
  /// acc (+)= matrix * block. The first contribution is assigned, not added: 0 + -0 would lose a sign.
  void accumulate(const HeadMatrix& matrix, std::span<const double> block, std::span<double> acc,
                  int64_t width, bool first) const;
  const DenseFold& dense() const;  ///< @throws std::logic_error where there is none

  const DenseFold* dense_;
  int64_t members_;
  int64_t readers_;
};

}  // namespace regroup
