#include "process_checks.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "training_state.h"

namespace regroup {

void require_same(Processes& processes, const Json& settings) {
  const Json theirs = Json::parse(text_of_first(processes, settings.dump()));
  const std::string differing = differing_settings(theirs, settings, "there", "here");
  if (differing.empty()) return;
  throw ConfigError(
      {.code = "PROCESSES_DIFFER",
       .message = fmt::format("rank {} must train what rank 0 trains, but differs in {}",
                              processes.rank(), differing),
       .hint = "start all processes with the same command line and the same files"});
}

void check_processes(const UptrainOptions& options, const Processes& processes, at::Device device) {
  check_batch(options, processes.size());
  if (processes.alone()) return;
  if (!device.is_cpu()) {
    throw UnsupportedError({.code = "DEVICE",
                            .message = fmt::format("{} processes train together on CPUs only, "
                                                   "found the device {}",
                                                   processes.size(), device.str()),
                            .hint = "give `device` cpu, or train in one process"});
  }
}

}  // namespace regroup
