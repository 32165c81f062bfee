#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "regroup/model/decoder.h"
#include "regroup/model/processes.h"
#include "regroup/uptrain/adamw_options.h"

namespace regroup {

/// Rows of a leaf to train; a whole tensor converts by itself. The others keep their bytes.
struct TrainedRows {
  TrainedRows(at::Tensor whole)  // NOLINT: implicit on purpose
      : parameter(std::move(whole)), count(parameter.size(0)) {}
  TrainedRows(at::Tensor leaf, int64_t first_row, int64_t n_rows, double scale)
      : parameter(std::move(leaf)), first(first_row), count(n_rows), lr_scale(scale) {}
  bool is_whole() const { return count == parameter.size(0); }
  at::Tensor rows_of(const at::Tensor& t) const { return t.narrow(0, first, count); }

  at::Tensor parameter;  ///< requires a gradient
  int64_t first = 0;
  int64_t count;
  double lr_scale = 1.0;  ///< times the learning rate of the step
};

/// What one optimizer step saw and did.
struct StepOutcome {
  double grad_norm = 0;  ///< before clipping
  bool applied = true;   ///< false: gradient not finite, nothing was changed
};

/// AdamW with decoupled weight decay (arXiv:1711.05101) on flat float32 buffers: one bucket of master
/// weights, gradients and moments for the weights that decay and one for those that do not, for each
/// lr_scale, so that a step is a few fused operations. float32 parameters that are trained whole live
/// in the master buffer itself; bfloat16 ones and rows of a larger tensor are refreshed from it.
/// Gradients are summed in float32 over micro-batches.
/// Of several processes each has the gradients of its own samples. They are summed, each process updates its share of
/// every bucket and has the moments of that share alone (ZeRO-1, arXiv:1910.02054), as well as the master weights where the
/// parameters are no part of them.
class AdamW {
 public:
  /// @param trained  no row twice; the storage of whole float32 parameters is replaced
  AdamW(const std::vector<TrainedRows>& trained, const AdamWOptions& options,
        Processes& processes = single_process());
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;
  ~AdamW();

  void zero_gradients();
  /// Clips, updates and refreshes the parameters; skips everything when the gradient is not finite.
  StepOutcome step(double learning_rate);
  /// The two halves of it, between which the caller waits for the device and looks at more than the norm.
  /// Sums the gradients over all processes. @return float32 scalar on the device: the norm of this process's share
  at::Tensor norm_of_share();
  /// @param gradient_norm  of all shares together
  StepOutcome step(double learning_rate, double gradient_norm);

  int64_t n_elements() const;
  int64_t state_bytes() const;  ///< of this process
  /// Buffers by name, for exact state on disk: "decay.master", "decay.exp_avg", ... and "updates", how
  /// many steps were applied. Buckets of another lr_scale: "decay@10.master". Whole, however many processes
  /// there are, in the first one; in the others not to be used.
  std::map<std::string, at::Tensor> state() const;
  /// Copies the saved buffers of the first process back and refreshes the parameters.
  /// @throws CheckpointError CKPT_STATE when names or sizes differ
  void load_state(const std::map<std::string, at::Tensor>& saved);

 private:
  struct Bucket;
  Bucket& bucket_of(const TrainedRows& rows);
  void refresh_parameters();
  at::Tensor gathered(const Bucket& bucket, const at::Tensor& share) const;
  void scatter(const at::Tensor& saved, const Bucket& bucket, const at::Tensor& share);
  void require_state(const std::map<std::string, at::Tensor>& saved) const;

  AdamWOptions options_;
  Processes& processes_;
  std::vector<std::unique_ptr<Bucket>> buckets_;
  at::Tensor updates_;  // float32 scalar, as the fused operation wants it
};

}  // namespace regroup
