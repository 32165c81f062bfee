#pragma once

#include <ATen/core/Tensor.h>

namespace regroup {

/// What a device can do, measured.
struct MachineSpeed {
  double copy_bytes_per_s = 0;  ///< read and written (STREAM's copy; McCalpin, 1995)
  double read_bytes_per_s = 0;  ///< of a sum
  double flops_per_s = 0;       ///< of a matrix product as layers take it

  /// The faster way to move memory: reading alone is faster where written lines are read first.
  double bandwidth() const {
    return read_bytes_per_s > copy_bytes_per_s ? read_bytes_per_s : copy_bytes_per_s;
  }
};

/// Takes two to four seconds, and 512 MiB on a CPU or 2 GiB on a GPU. The best of several tries counts: whatever disturbs a try
/// makes it slower.
MachineSpeed measure_machine(at::Device device, at::ScalarType dtype);

/// Returns when `device` has done all that it was asked.
void wait_for(at::Device device);

}  // namespace regroup
