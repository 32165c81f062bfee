// The program without LibTorch: what needs it begins again in libregroup_torch.so.
#include "torch_part.h"

namespace regroup {

bool has_torch() { return false; }
void require_torch(const std::string& command) { throw TorchNeeded{command}; }

CommandOutput run_bench(const BenchFlags&, const Globals&) { throw TorchNeeded(); }
CommandOutput run_eval(const EvalFlags&, const Globals&) { throw TorchNeeded(); }
CommandOutput run_generate(const GenerateFlags&, const Globals&) { throw TorchNeeded(); }
TrainResult run_training(const UptrainOptions&, const Globals&, const TrainObserver&) {
  throw TorchNeeded();
}

DamageReport measure_damage(const CompareFlags&, const Globals&, const ModelFolder&,
                            const std::vector<ConvertOptions>&) {
  throw TorchNeeded();
}

std::pair<ConversionPlan, ConvertResult> convert_by_weights(const ModelFolder&,
                                                            const ConvertOptions&, ConversionPlan,
                                                            const ConvertProgress&) {
  throw TorchNeeded();
}

void check_device(const std::string&) {}
void prepare_torch(const Globals&) {}
std::optional<Error> explain_torch_error(const std::exception&) { return std::nullopt; }

}  // namespace regroup
