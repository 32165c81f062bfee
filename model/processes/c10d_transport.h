#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "regroup/base/launch.h"

namespace regroup {

/// Where processes leave words for each other, kept by the first of them or by torchrun's agent: c10d's TCPStore.
/// Calls throw std::exception when it can no longer be reached.
class MeetingPlace {
 public:
  virtual ~MeetingPlace() = default;
  virtual void set(const std::string& key, const std::string& value) = 0;
  virtual std::optional<std::string> find(const std::string& key) = 0;
};

/// What moves tensors between processes that have met: c10d's gloo group. Calls throw std::exception when a
/// process has gone or does not answer in time.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void all_reduce(const at::Tensor& values) = 0;
  virtual void all_gather(const at::Tensor& whole, const at::Tensor& share) = 0;
  virtual void broadcast(const at::Tensor& values, int root) = 0;
  virtual void barrier() = 0;
};

/// @return nullptr when nobody keeps the place yet
/// @throws ConfigError MASTER_PORT when the process that should keep it cannot
std::unique_ptr<MeetingPlace> open_meeting_place(const Launch& launch,
                                                 std::chrono::milliseconds patience);

/// Connects all processes with each other.
std::unique_ptr<Transport> connect_processes(MeetingPlace& place, const Launch& launch,
                                             std::chrono::milliseconds timeout);

}  // namespace regroup
