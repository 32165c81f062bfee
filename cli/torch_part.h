#pragma once

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench_flags.h"
#include "command.h"
#include "comparison.h"
#include "eval_flags.h"
#include "generate_flags.h"
#include "regroup/base/error.h"
#include "regroup/convert/plan.h"
#include "regroup/uptrain/trainer.h"

namespace regroup {

/// What takes LibTorch, which costs 0.3 s to load. The folder torch/ has it; it is linked into
/// libregroup_torch.so. The program itself has without_torch.cpp instead, which throws TorchNeeded: main()
/// then loads libregroup_torch.so and has it carry out the same command line.

struct TorchNeeded {
  std::string command = {};  ///< that needs it from its first step on
};
bool has_torch();
/// @throws TorchNeeded  in the program that has none. Before it nothing is written or said.
void require_torch(const std::string& command);

CommandOutput run_bench(const BenchFlags& flags, const Globals& globals);
CommandOutput run_eval(const EvalFlags& flags, const Globals& globals);
CommandOutput run_generate(const GenerateFlags& flags, const Globals& globals);
/// Together with the other processes of globals.launch.
TrainResult run_training(const UptrainOptions& options, const Globals& globals,
                         const TrainObserver& observer);
DamageReport measure_damage(const CompareFlags& flags, const Globals& globals,
                            const ModelFolder& model,
                            const std::vector<ConvertOptions>& conversions);
/// A conversion that must look at the weights: needs_transforms(). @return its plan, settled
std::pair<ConversionPlan, ConvertResult> convert_by_weights(const ModelFolder& model,
                                                            const ConvertOptions& options,
                                                            ConversionPlan plan,
                                                            const ConvertProgress& progress);

/// Where --device can be opened, nothing. Nothing either without LibTorch: nobody knows.
void check_device(const std::string& name);
/// Applies --threads and REGROUP_SIMD.
void prepare_torch(const Globals& globals);
/// An error of LibTorch that a user can do something about.
std::optional<Error> explain_torch_error(const std::exception& error);

}  // namespace regroup
