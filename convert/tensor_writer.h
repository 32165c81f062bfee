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
  /// The part that is being written, and where its values go.
  struct Job {
    const TensorPlan& tensor;
    const PartPlan& part;
    ShardWriter& out;
    int64_t width;  ///< elements of a row

    int64_t elements() const { return part.n_rows * width; }
  };

  void write(const Job& job);
  // Elements [first, first + count) of the part.
  void copy(const Job& job, int64_t first, int64_t count);
  void cast(const Job& job, int64_t first, int64_t count);
  void merge(const Job& job);
  void merge_gains(const Job& job);
  void repeat(const Job& job);
  void redraw(const Job& job);
  void fold_query(const Job& job);
  void fold_output(const Job& job);
  void replace(const Job& job);

  const LayerTransform& transform(const Job& job) const {
    return plan_.transforms[static_cast<size_t>(job.tensor.layer)];
  }
  /// Reads and widens elements [first, first + out.size()) of the part; refuses NaN and infinity.
  void read(const Job& job, int64_t first, std::span<double> out);
  /// Reads bytes of the part and refuses NaN and infinity.
  Chunk read_checked(const Job& job, int64_t offset, int64_t bytes);
  /// Rounds once to the tensor's dtype and writes.
  void emit(const Job& job, std::span<const double> values);

  SourceReader& source_;
  ChunkPool& pool_;
  const ConversionPlan& plan_;
  const ConvertOptions& options_;
  const Fold fold_;
};

}  // namespace regroup
