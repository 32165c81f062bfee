// Transforms that need no text.
#include <c10/core/GradMode.h>

#include <optional>

#include "calibrated_layer.h"
#include "gain_choice.h"
#include "layer_method.h"
#include "regroup/base/stop_signal.h"
#include "regroup/calibration/calibrate.h"
#include "statistics.h"
#include "vocabulary_run.h"

namespace regroup {

Calibrated transform_by_statistics(const ModelFolder& model, const ConvertOptions& request,
                                   const LayerProgress& decides) {
  const c10::NoGradGuard no_gradients;
  const ModelConfig& config = model.config();
  const std::string& file = request.calibration.statistics;
  std::vector<LayerStatistics> measured;
  if (!file.empty()) measured = load_statistics(file, config, model_digest(model));
  std::optional<VocabularyRun> vocabulary;
  if (runs_vocabulary(request.method, request.calibration)) vocabulary.emplace(model, request.seed);
  const auto statistics_of = [&](int64_t layer, const LayerWeights& w) {
    if (vocabulary) return vocabulary->next(layer, w);
    if (file.empty()) return weights_only_statistics(w.input_norm, model.config().hidden_size);
    return measured[static_cast<size_t>(layer)];
  };
  Calibrated result;
  result.gains = gain_candidates(request).front();
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    throw_if_stopped(/*resumable=*/false);
    if (decides) decides(layer, config.n_layers);
    const LayerWeights w =
        load_layer(model, layer, vocabulary ? at::kDouble : at::kFloat, at::kCPU);
    const LayerDecision decision =
        decide_layer(request, layer, widen_attention(w, config), statistics_of(layer, w), config);
    result.transforms.push_back(with_gains(decision.transform, result.gains));
    result.layers.push_back(report_of(layer, decision));
  }
  if (decides) decides(config.n_layers, config.n_layers);
  return result;
}

}  // namespace regroup
