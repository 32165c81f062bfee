#include <memory>

#include "regroup/calibration/calibrate.h"
#include "regroup/calibration/dense_fold.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/convert/spent_budget.h"

namespace regroup {

std::pair<ConversionPlan, ConvertResult> convert_model(const ModelFolder& model,
                                                       const ConvertOptions& options,
                                                       const ConvertProgress& progress) {
  if (!needs_transforms(model.config(), options)) {
    ConversionPlan plan = plan_conversion(model, options);
    ConvertResult result = execute_conversion(model, plan, options, progress.bytes);
    return {std::move(plan), std::move(result)};
  }
  TransformRequest request = transform_request(model.config(), options);
  // Every setting is checked before OUT.partial is there: what it would hold of a wrong one would
  // stand in the way of the right one.
  plan_conversion(model, options, placeholder_transforms(model.config(), options));
  check_output(options);
  require_free_space(options.out, model.weight_bytes());
  // What can be wrong with statistics or text is found before OUT.partial is there.
  Calibrated calibrated;
  std::unique_ptr<Calibration> calibration;
  ConvertOptions decided = options;
  if (options.calibration.files.empty()) {
    calibrated = transform_by_statistics(model, request);
  } else {
    recall_budget(model, options, request.calibration);
    calibration = std::make_unique<Calibration>(model, request);
    decided.calibration = calibration->options();
  }
  OutputFolder folder = open_output(model, decided);
  if (calibration) {
    const std::string layers = folder.partial() + "/calibration";
    make_folder(layers);
    calibrated = calibration->run(layers, progress.calibration);
    calibration.reset();  // its memory is not needed any more
  }
  ConversionPlan plan = plan_conversion(model, decided, std::move(calibrated));
  ConvertResult result =
      execute_conversion(model, plan, decided, progress.bytes, folder, &dense_fold());
  return {std::move(plan), std::move(result)};
}

}  // namespace regroup
