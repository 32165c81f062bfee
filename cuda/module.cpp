// libregroup_cuda: everything of regroup that needs CUDA headers. Loaded with dlopen for --device cuda
// (model/cuda_loader.cpp); kernels of ATen come with libtorch_cuda, which that loads first.
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstring>

#include "regroup/model/cuda_module.h"

namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;

c10::DeviceIndex index_of(int device) { return static_cast<c10::DeviceIndex>(device); }

int device_count() { return c10::cuda::device_count(); }

void describe(int device, char* name, int size, int64_t* total_bytes) {
  cudaDeviceProp properties = {};
  cudaGetDeviceProperties(&properties, device);
  std::strncpy(name, properties.name, static_cast<size_t>(size) - 1);
  name[size - 1] = '\0';
  *total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
}

void use_device(int device) { c10::cuda::set_device(index_of(device)); }

int64_t peak_bytes(int device) {
  const auto stats = allocator::getDeviceStats(index_of(device));
  return stats.allocated_bytes[0].peak;
}

void reset_peak(int device) { allocator::resetPeakStats(index_of(device)); }

void free_bytes(int device, int64_t* free, int64_t* total) {
  const int before = c10::cuda::current_device();
  c10::cuda::set_device(index_of(device));
  size_t free_now = 0;
  size_t all = 0;
  cudaMemGetInfo(&free_now, &all);
  c10::cuda::set_device(index_of(before));
  *free = static_cast<int64_t>(free_now);
  *total = static_cast<int64_t>(all);
}

void synchronize(int device) {
  const int before = c10::cuda::current_device();
  c10::cuda::set_device(index_of(device));
  c10::cuda::device_synchronize();
  c10::cuda::set_device(index_of(before));
}

void* record_event() {
  auto* event = new at::cuda::CUDAEvent(cudaEventDefault);
  event->record(c10::cuda::getCurrentCUDAStream());
  return event;
}

double elapsed_s(void* start, void* stop) {
  auto* first = static_cast<at::cuda::CUDAEvent*>(start);
  auto* last = static_cast<at::cuda::CUDAEvent*>(stop);
  last->synchronize();
  const double seconds = first->elapsed_time(*last) / 1000.0;
  delete first;
  delete last;
  return seconds;
}

constexpr RegroupCudaModule kModule = {
    .version = regroup::kCudaModuleVersion,
    .device_count = device_count,
    .describe = describe,
    .use_device = use_device,
    .peak_bytes = peak_bytes,
    .reset_peak = reset_peak,
    .free_bytes = free_bytes,
    .synchronize = synchronize,
    .record_event = record_event,
    .elapsed_s = elapsed_s,
};

}  // namespace

extern "C" const RegroupCudaModule* regroup_cuda_module() { return &kModule; }
