#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/scratch_file.h"

namespace regroup {

/// The residual stream of every calibration window, float32 [windows, seq, hidden], in the memory of the
/// device that computes with it or in a scratch file. Without a file nothing here waits for the device.
class ActivationStore {
 public:
  /// @param scratch  folder of the scratch file; "": in memory
  ActivationStore(int64_t windows, int64_t seq, int64_t hidden, const std::string& scratch,
                  at::Device device = at::kCPU);
  int64_t windows() const { return windows_; }
  /// Windows [first, first + count), a copy on the device.
  at::Tensor read(int64_t first, int64_t count) const;
  at::Tensor gather(const std::vector<int64_t>& windows) const;
  void write(int64_t first, const at::Tensor& values);

 private:
  int64_t windows_;
  int64_t seq_;
  int64_t hidden_;
  at::Device device_;
  at::Tensor memory_;
  std::optional<ScratchFile> file_;
};

}  // namespace regroup
