#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "regroup/base/error.h"
#include "regroup/base/launch.h"

namespace regroup {

/// The processes that work on one thing together. All of them make the same calls in the same order. Sums
/// are the same bits in all of them. Tensors are dense and on the CPU where there are several processes.
class Processes {
 public:
  virtual ~Processes() = default;
  virtual int rank() const = 0;  ///< of this process, from 0
  virtual int size() const = 0;
  bool is_first() const { return rank() == 0; }
  bool alone() const { return size() == 1; }

  /// The sum over all of them, in place.
  virtual void all_reduce(const at::Tensor& values) = 0;
  /// @param share  [n]: the sum of this process's part of `whole` [n size], which is overwritten. It may be that part
  virtual void reduce_scatter(const at::Tensor& share, const at::Tensor& whole) = 0;
  /// @param whole  [n size]: the shares [n] of all, in the order of their ranks. A share may be its part of `whole`
  virtual void all_gather(const at::Tensor& whole, const at::Tensor& share) = 0;
  /// What `root` has.
  virtual void broadcast(const at::Tensor& values, int root) = 0;
  /// Returns once all of them have come here.
  virtual void barrier() = 0;
  /// The first process alone does the work; the others wait for it, as long as it takes.
  virtual void first_does(const std::function<void()>& work) = 0;
  /// The same before anything is under way: a signal to any of them ends the others' waiting and asks the first to stop.
  /// @throws Error INTERRUPTED
  virtual void first_prepares(const std::function<void()>& work) = 0;
  /// Tells the others why this one goes, so that none of them waits for it.
  virtual void leave(const Error& why) = 0;
  /// How many of them share the processors that this one may run on.
  virtual int sharing_processors() const = 0;
  /// How many of them share the memory of this one's machine.
  virtual int on_this_machine() const = 0;
};

/// This process alone: every call is done at once.
Processes& single_process();

/// Meets the others of a launch, and forms one c10d group with them (gloo).
/// @param timeout  how long to wait for a process that does not come, or does not answer
/// @throws ConfigError PROCESSES_MEETING when they do not meet, MASTER_PORT when it is taken
/// Calls of the group throw Error PROCESS_LOST, which names the process that has gone and why.
std::unique_ptr<Processes> join_processes(const Launch& launch, std::chrono::seconds timeout);

/// The text of the first process, in all of them.
std::string text_of_first(Processes& processes, const std::string& text);

}  // namespace regroup
