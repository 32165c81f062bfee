// The strict device as LibTorch sees it: one device, one stream, its memory.
#include "support/strict_device.h"

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "support/strict_memory.h"

namespace regroup::testing {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
c10::Device the_device() { return c10::Device(kType, 0); }

struct Guard final : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device exchangeDevice(c10::Device) const override { return the_device(); }
  c10::Device getDevice() const override { return the_device(); }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, the_device());
  }
  c10::Stream getDefaultStream(c10::Device) const override { return getStream(the_device()); }
  c10::Stream getNewStream(c10::Device, int) const override { return getStream(the_device()); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override {
    return getStream(the_device());
  }
  void synchronizeDevice(c10::DeviceIndex) const override {}
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  at::Allocator* getPinnedMemoryAllocator() const override { return pinned_allocator(); }
};

}  // namespace

at::Device strict_device() {
  static const bool registered = [] {
    c10::register_privateuse1_backend("strict");
    c10::SetAllocator(kType, strict_allocator());
    c10::impl::registerDeviceGuard(kType, new Guard);  // leaked, as LibTorch wants it
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    return true;
  }();
  static_cast<void>(registered);
  return the_device();
}

}  // namespace regroup::testing
