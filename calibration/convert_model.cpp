#include <memory>

#include "dense_fold.h"
#include "regroup/base/disk_space.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/calibration/calibrate.h"
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

/// Reads statistics and text before OUT.partial exists: a folder left by a wrong setting would refuse the right one.
/// @param request  `options` as the model lets them be
Prepared prepare(const ModelFolder& model, const ConvertOptions& options, ConvertOptions request,
                 const CalibrationProgress& progress) {
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
                         const ConvertOptions& request, const CalibrationProgress& progress) {
  try {
    return prepare(model, options, request, progress);
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
                                                       ConversionPlan plan,
                                                       const ConvertProgress& progress) {
  if (!needs_transforms(model.config(), options)) {
    ConvertResult result = execute_conversion(model, plan, options, progress.bytes);
    return {std::move(plan), std::move(result)};
  }
  auto [decided, calibrated, calibration] =
      prepare_or_stop(model, options, plan.request, progress.calibration);
  OutputFolder folder = open_output(model, decided);
  if (calibration) {
    const std::string layers = folder.partial() + "/calibration";
    make_folder(layers);
    note_asked(folder.partial(), options.calibration);
    calibrated = calibration->run(layers, progress.calibration);
    calibration.reset();  // its memory is not needed any more
  }
  settle(plan, model, std::move(calibrated));
  ConvertResult result =
      execute_conversion(model, plan, decided, progress.bytes, folder, &dense_fold());
  return {std::move(plan), std::move(result)};
}

}  // namespace regroup
