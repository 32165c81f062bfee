#pragma once

#include <string>

#include "regroup/convert/fold.h"
#include "regroup/convert/plan.h"
#include "stream.h"

namespace regroup {

/// Produces the bytes of one output tensor from the parent's, chunk by chunk, as its plan says.
class TensorWriter {
 public:
  TensorWriter(SourceReader& source, ChunkPool& pool, const ConversionPlan& plan,
               const ConvertOptions& options, const DenseFold* dense)
      : source_(source), pool_(pool), plan_(plan), options_(options), fold_(dense) {}

  void write(const TensorPlan& tensor, ShardWriter& out);

 private:
  void copy(const TensorPlan& tensor, ShardWriter& out);
  void cast(const TensorPlan& tensor, ShardWriter& out);
  void merge(const TensorPlan& tensor, ShardWriter& out);
  void redraw(const TensorPlan& tensor, ShardWriter& out);
  void fold_query(const TensorPlan& tensor, ShardWriter& out);
  void fold_output(const TensorPlan& tensor, ShardWriter& out);
  void replace(const TensorPlan& tensor, ShardWriter& out);

  /// Reads and widens elements [first, first + out.size()); refuses NaN and infinity.
  void read(const TensorPlan& tensor, int64_t first, std::span<double> out);
  /// Reads bytes and refuses NaN and infinity.
  Chunk read_checked(const TensorPlan& tensor, int64_t offset, int64_t bytes);
  /// Rounds once to the tensor's dtype and writes.
  void emit(const TensorPlan& tensor, std::span<const double> values, ShardWriter& out);

  SourceReader& source_;
  ChunkPool& pool_;
  const ConversionPlan& plan_;
  const ConvertOptions& options_;
  const Fold fold_;
};

}  // namespace regroup
