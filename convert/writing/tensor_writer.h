#pragma once

#include <map>
#include <string>

#include "regroup/base/normal_stream.h"
#include "regroup/convert/fold.h"
#include "regroup/convert/plan.h"
#include "stream.h"

namespace regroup {

/// Produces the bytes of one output tensor from the parent's, chunk by chunk, as its plan says.
class TensorWriter {
 public:
  TensorWriter(SourceReader& source, ChunkPool& pool, const ConversionPlan& plan,
               const ConvertOptions& options, const DenseFold* dense)
      : source_(source),
        pool_(pool),
        plan_(plan),
        options_(options),
        fold_(dense, plan.before.n_kv_heads / plan.after.n_kv_heads, plan.before.group_size()) {}

  void write(const TensorPlan& tensor, ShardWriter& out);

 private:
  /// Rows of a part that are being written, and where their values go.
  struct Job {
    const TensorPlan& tensor;
    const PartPlan& part;
    ShardWriter& out;
    int64_t width;  ///< elements of a row
    int64_t first;  ///< row of the part as it is written
    int64_t count;  ///< rows

    /// Of all of the part in the parent.
    int64_t elements() const { return part.before.rows.count * width; }
  };
  /// Where a part that is drawn anew has come to.
  struct Drawn {
    double deviation;
    NormalStream normal;
  };

  void write(const Job& job);
  // Elements [first, first + count) of the part in the parent.
  void copy(const Job& job, int64_t first, int64_t count);
  void cast(const Job& job, int64_t first, int64_t count);
  void merge(const Job& job);
  void merge_gains(const Job& job);
  void repeat(const Job& job);
  void redraw(const Job& job);
  double deviation_of(const Job& job);  ///< of the part in the parent
  void fold_query(const Job& job);
  void fold_output(const Job& job);
  void replace(const Job& job);

  /// Reads heads of the part in the parent; `job` must outlive it.
  ReadHead reads_head(const Job& job);
  /// Writes the job's heads: make(place in the output, [head_dim, width]) fills each.
  template <typename Make>
  void write_heads(const Job& job, const Make& make);

  const LayerTransform& transform(const Job& job) const {
    return plan_.transforms[static_cast<size_t>(job.tensor.layer)];
  }
  /// Reads and widens elements [first, first + out.size()) of the part; refuses NaN and infinity.
  void read(const Job& job, int64_t first, std::span<double> out);
  /// Reads elements of the part and refuses NaN and infinity: of those that were asked for as many as lie together.
  Chunk read_checked(const Job& job, int64_t first, int64_t count);
  /// The dtype that an element of the part has in the parent.
  Dtype dtype_of(const Job& job, int64_t element) const;
  /// Rounds once to the tensor's dtype and writes.
  void emit(const Job& job, std::span<const double> values);

  SourceReader& source_;
  ChunkPool& pool_;
  const ConversionPlan& plan_;
  const ConvertOptions& options_;
  const Fold fold_;
  std::map<Role, Drawn> drawn_;  // of the tensor that is being written
};

}  // namespace regroup
