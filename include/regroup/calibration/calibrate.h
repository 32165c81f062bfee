#pragma once

#include <memory>
#include <string>
#include <utility>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/convert/plan.h"

namespace regroup {

/// Transforms for methods that read weights, without text. Moments are those of a file, for `pca` else of tokens of
/// the vocabulary run through the parent, for the other methods of unit inputs.
Calibrated transform_by_statistics(const ModelFolder& model, const ConvertOptions& request,
                                   const LayerProgress& decides = {});

/// A model run over text layer by layer, one layer's weights in memory at a time; each layer is decided
/// and (with refit or steps) trained on the way.
class Calibration {
 public:
  /// Reads the text, or has the parent write it, and reserves scratch space: what can be wrong with them shows here.
  /// @throws CheckpointError TEXT_TOO_SHORT and others; OutputError
  Calibration(const ModelFolder& model, const ConvertOptions& request,
              const TextProgress& writes = {});
  ~Calibration();
  /// Those of the request, with every number that was left open.
  const CalibrationOptions& options() const;
  /// Results of finished layers are in `folder`; a second run of the same request finds them there.
  /// @throws CheckpointError CALIBRATION_NONFINITE (names the layer); StoppedError; OutputError
  Calibrated run(const std::string& folder, const CalibrationProgress& progress);

 private:
  std::unique_ptr<class Calibrator> calibrator_;
};

/// Decides what `plan` leaves open, from weights and perhaps text, and carries it out.
/// @param plan  of plan_conversion(model, options)
/// @return the plan, settled
/// @throws what Calibration, settle() and execute_conversion() throw
std::pair<ConversionPlan, ConvertResult> convert_model(const ModelFolder& model,
                                                       const ConvertOptions& options,
                                                       ConversionPlan plan,
                                                       const ConvertProgress& progress);

}  // namespace regroup
