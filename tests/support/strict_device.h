#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

namespace regroup::testing {

/// A device that is no CPU, without a GPU: LibTorch's PrivateUse1, "strict". Its operations are the CPU's on
/// memory of this process that nobody else may touch: outside of them its pages are closed, so that code
/// which follows a data pointer of such a tensor crashes the test. Operands of two devices are refused, as
/// CUDA refuses them.
at::Device strict_device();

/// What made the host wait for the device since the last call, one name each: values read (item, equal),
/// copies out of it, and copies into it from memory that is not pinned.
std::vector<std::string> take_waits();

}  // namespace regroup::testing
