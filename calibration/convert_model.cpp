#include <memory>

#include "dense_fold.h"
#include "regroup/base/disk_space.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/checkpoint/kv_heads.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/convert/spent_budget.h"

namespace regroup {
namespace {

/// What is found out before OUT.partial is opened.
struct Prepared {
  ConvertOptions options;                    ///< with the numbers that a budget came to
  Calibrated calibrated;                     ///< without text
  std::unique_ptr<Calibration> calibration;  ///< with text: ready to run
};

/// Checks every setting and reads statistics and text before OUT.partial exists: a folder left by a wrong setting
/// would refuse the right one.
Prepared prepare(const ModelFolder& model, const ConvertOptions& options,
                 const CalibrationProgress& progress) {
  require_kv_heads_or_more(model.config(), options.n_kv_heads);
  TransformRequest request = transform_request(model.config(), options);
  plan_conversion(model, options, placeholder_transforms(model.config(), options));
  check_output(options);
  require_free_space(options.out, model.weight_bytes());
  Prepared prepared{options, {}, nullptr};
  if (options.calibration.files.empty()) {
    prepared.calibrated = transform_by_statistics(model, request, progress.decides);
  } else {
    recall_budget(model, options, request.calibration);
    prepared.calibration = std::make_unique<Calibration>(model, request, progress.writes);
    prepared.options.calibration = prepared.calibration->options();
  }
  return prepared;
}

/// The same. Stopped there, it leaves an interrupted run in OUT.partial as it was.
Prepared prepare_or_stop(const ModelFolder& model, const ConvertOptions& options,
                         const CalibrationProgress& progress) {
  try {
    return prepare(model, options, progress);
  } catch (const Error& error) {
    const bool resumable = options.output.resume != ResumeMode::kNever &&
                           path_exists(without_last_slash(options.out) + ".partial/JOB.json");
    if (resumable && error.info().code == "INTERRUPTED") throw_if_stopped(resumable);
    throw;
  }
}

}  // namespace

std::pair<ConversionPlan, ConvertResult> convert_model(const ModelFolder& model,
                                                       const ConvertOptions& options,
                                                       const ConvertProgress& progress) {
  if (!needs_transforms(model.config(), options)) {
    ConversionPlan plan = plan_conversion(model, options);
    ConvertResult result = execute_conversion(model, plan, options, progress.bytes);
    return {std::move(plan), std::move(result)};
  }
  auto [decided, calibrated, calibration] = prepare_or_stop(model, options, progress.calibration);
  OutputFolder folder = open_output(model, decided);
  if (calibration) {
    const std::string layers = folder.partial() + "/calibration";
    make_folder(layers);
    note_asked(folder.partial(), options.calibration);
    calibrated = calibration->run(layers, progress.calibration);
    calibration.reset();  // its memory is not needed any more
  }
  ConversionPlan plan = plan_conversion(model, decided, std::move(calibrated));
  ConvertResult result =
      execute_conversion(model, plan, decided, progress.bytes, folder, &dense_fold());
  return {std::move(plan), std::move(result)};
}

}  // namespace regroup
