#pragma once

#include "regroup/calibration/calibrate.h"
#include "regroup/model/decoder.h"

namespace regroup {

/// The parent's transforms under `request`, decided as `convert` decides them: from text when the
/// request has some, else from statistics, tokens of the vocabulary or the weights alone.
/// @param layers_folder  where layers that were trained or refitted on text are kept; it must outlive
///                       the use of the result, and is not touched without text
/// @throws what Calibration and transform_by_statistics() throw
Calibrated decide_conversion(const ModelFolder& model, const ConvertOptions& request,
                             const std::string& layers_folder, const CalibrationProgress& progress);

/// The model that `convert` would write, made in memory: its attention is new and rounded to the
/// dtypes of the output, everything else is the parent's and shared with it.
/// @param parent  holds the weights of `model`
Decoder converted_decoder(const ModelFolder& model, Decoder& parent, const ConvertOptions& request,
                          const Calibrated& calibrated);

/// The parent with one layer converted and every other as it was. Grouped heads are repeated, so that
/// all layers keep the parent's number of heads; the function is that of grouped ones.
Decoder with_one_layer_converted(const ModelFolder& model, Decoder& parent,
                                 const ConvertOptions& request, const Calibrated& calibrated,
                                 int64_t layer);

}  // namespace regroup
