// libregroup_torch.so: the commands with LibTorch.
#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "program.h"
#include "regroup/base/processors.h"
#include "regroup/base/stop_signal.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/model/processes.h"
#include "regroup/model/runtime.h"
#include "regroup/model/simd.h"
#include "torch_module.h"
#include "torch_part.h"

namespace regroup {

bool has_torch() { return true; }
void require_torch(const std::string&) {}

namespace {

/// Processes that may run on the same processors share them, unless a number of threads was given.
void share_processors(const Processes& processes, const Globals& globals) {
  if (globals.threads > 0 || std::getenv("OMP_NUM_THREADS") != nullptr) return;
  set_threads(std::max(1, usable_threads() / processes.sharing_processors()));
}

}  // namespace

TrainResult run_training(const UptrainOptions& options, const Globals& globals,
                         const TrainObserver& observer) {
  if (globals.launch.size == 1) return uptrain(options, observer);
  const auto processes =
      join_processes(globals.launch, std::chrono::seconds(options.process_timeout));
  share_processors(*processes, globals);
  return uptrain(options, observer, *processes);
}

std::pair<ConversionPlan, ConvertResult> convert_by_weights(const ModelFolder& model,
                                                            const ConvertOptions& options,
                                                            ConversionPlan plan,
                                                            const ConvertProgress& progress) {
  return convert_model(model, options, std::move(plan), progress);
}

void check_device(const std::string& name) { open_device(name); }
void prepare_torch(const Globals& globals) {
  set_threads(globals.threads);
  use_simd_target_of_environment();
}

std::optional<Error> explain_torch_error(const std::exception& error) {
  return explain_runtime_error(error);
}

}  // namespace regroup

extern "C" __attribute__((visibility("default"))) int regroup_torch_main(int argc, char** argv,
                                                                         int (*asked_before)()) {
  regroup::install_stop_handlers();
  regroup::take_over_stop_signal(asked_before());
  return regroup::run_program({argv + 1, argv + argc});
}
