#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "calibration_meter.h"
#include "end_to_end.h"
#include "measure_quality.h"
#include "output_head.h"
#include "regroup/convert/calibrated.h"
#include "regroup/model/decoder.h"
#include "window_set.h"

namespace regroup {

/// What follows the last layer: all layers trained together where that is asked for, and what held-out
/// windows say of the model.
class NetworkFit {
 public:
  /// @param sets   both residual streams after the last layer, of the windows held out; the text's first
  /// @param fresh  int64 [windows, seq]: text that no layer was fitted on
  NetworkFit(const ModelFolder& model, const std::vector<WindowSet>& sets, const at::Tensor& fresh,
             const ConvertOptions& request, const CalibrationCost& cost, CalibrationMeter& meter,
             at::Device device);
  /// @param result  of all layers; gets the qualities and, where training gained, another folder of weights
  void finish(Calibrated& result);

 private:
  /// What came of training all layers together.
  struct Outcome {
    HeldOutQuality before;
    HeldOutQuality after;
    bool gained = false;
  };

  const WindowSet& text() const { return sets_.front(); }
  Decoder parent() const;
  Decoder converted(Decoder& parent, const Calibrated& result) const;
  at::Tensor windows_to_train_on() const;
  /// The converted model's final hidden states of some windows of a set.
  using SetSource = std::function<at::Tensor(const WindowSet& set, int64_t first, int64_t count)>;
  HeldOutQuality quality(const SetSource& converted);
  HeldOutQuality quality(const Decoder& decoder);
  HeldOutQuality quality_of_layers(const Calibrated& result);
  Outcome distill(const std::string& folder, const Calibrated& result);
  HeldOutQuality train(const std::string& folder, const Calibrated& result, double before);
  bool save(const std::string& folder, Decoder& decoder, const Calibrated& result) const;
  std::optional<Outcome> outcome_of_before(const std::string& folder) const;
  void tell(double before, double now);
  bool holds_every_layer(const std::string& folder) const;

  const ModelFolder& model_;
  const std::vector<WindowSet>& sets_;
  at::Tensor fresh_;
  const ConvertOptions& request_;
  const CalibrationCost& cost_;
  CalibrationMeter& meter_;
  at::Device device_;
  ModelConfig after_;
  OutputHead head_;
  std::string stage_;  // that the meter points to
};

}  // namespace regroup
