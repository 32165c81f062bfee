#pragma once

#include <cstdint>

// What libregroup_cuda offers: the only door between regroup and CUDA. The module is found beside the
// binary and loaded with dlopen, so that one binary serves machines with and without a GPU.
extern "C" {

struct RegroupCudaModule {
  int version;  ///< kCudaModuleVersion of the header it was compiled with
  int (*device_count)();
  /// Fills `name` (at most `size` bytes) and the device's memory.
  void (*describe)(int device, char* name, int size, int64_t* total_bytes);
  void (*use_device)(int device);
  int64_t (*peak_bytes)(int device);
  void (*reset_peak)(int device);
  void (*free_bytes)(int device, int64_t* free, int64_t* total);
  void (*synchronize)(int device);
  /// Seconds between two events on the current stream; for benchmarks.
  void* (*record_event)();
  double (*elapsed_s)(void* start, void* stop);  ///< frees both
};

using RegroupCudaModuleEntry = const RegroupCudaModule* (*)();
}

namespace regroup {
inline constexpr int kCudaModuleVersion = 1;
inline constexpr const char* kCudaModuleEntry = "regroup_cuda_module";
}  // namespace regroup
