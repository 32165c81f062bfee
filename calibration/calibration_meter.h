#pragma once

#include "calibration_cost.h"
#include "regroup/convert/calibrated.h"

namespace regroup {

/// Tells how far a calibration is. Work is measured in seconds as forecast, so that its share is that of
/// the time; work that turns out to be unnecessary leaves the whole.
class CalibrationMeter {
 public:
  CalibrationMeter(const CalibrationRates& rates, double all_s, int64_t n_layers,
                   CalibrationProgress progress)
      : rates_(rates), progress_(std::move(progress)) {
    status_.n_layers = n_layers;
    status_.all_s = all_s;
  }

  void enter(int64_t layer, const char* stage) {
    status_.layer = layer;
    status_.stage = stage;
    tell();
  }
  /// So many FLOPs of what runs forward are done.
  void ran(double flops) { add(flops / rates_.flops_per_s); }
  void stepped() { add(rates_.step_s); }
  void decided() { add(rates_.layer_s); }
  void finish() {
    status_.layer = status_.n_layers;
    status_.stage = "done";
    status_.all_s = status_.done_s;
    tell();
  }
  /// Work that turned out not to be needed.
  void spare(double flops, int64_t steps) {
    status_.all_s -= flops / rates_.flops_per_s + static_cast<double>(steps) * rates_.step_s;
    tell();
  }

 private:
  void add(double seconds) {
    status_.done_s += seconds;
    tell();
  }
  void tell() const {
    if (progress_.moved) progress_.moved(status_);
  }

  CalibrationRates rates_;
  CalibrationProgress progress_;
  CalibrationStatus status_;
};

}  // namespace regroup
