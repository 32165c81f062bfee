#include "regroup/calibration/calibrate.h"

#include <c10/core/GradMode.h>

#include <optional>

#include "attention_fold.h"
#include "calibrated_layer.h"
#include "calibration_meter.h"
#include "calibration_setup.h"
#include "gain_choice.h"
#include "layer_fit.h"
#include "layer_method.h"
#include "network_fit.h"
#include "regroup/base/stop_signal.h"
#include "regroup/convert/legality.h"
#include "regroup/model/runtime.h"
#include "residual_streams.h"
#include "window_set.h"

namespace regroup {
namespace {

ConvertOptions with_calibration(ConvertOptions request, const CalibrationOptions& options) {
  request.calibration = options;
  return request;
}

}  // namespace

class Calibrator {
 public:
  Calibrator(const ModelFolder& model, const ConvertOptions& request, const TextProgress& writes)
      : model_(model),
        config_(model.config()),
        after_(model.config()),
        device_(open_device(request.calibration.device)),
        setup_(set_up_calibration(model, request, device_, writes)),
        request_(with_calibration(request, setup_.options)),
        options_(request_.calibration),
        cost_(config_, request_, setup_.sizes),
        candidates_(gain_candidates(request_)) {
    after_.n_kv_heads = request.n_kv_heads;
    result_.gains = candidates_.front();
    for (size_t i = 0; i < setup_.ids.size(); ++i) {
      sets_.emplace_back(config_, setup_.sizes.sets[i], setup_.ids[i], options_, device_);
    }
    if (tries_gains()) {
      const WindowSet& text = sets_.front();
      trial_.emplace(model_, request.n_kv_heads, candidates_,
                     text.ids.narrow(0, text.sizes.train_windows(), text.sizes.held_out),
                     options_.scratch, device_);
    }
  }

  const CalibrationOptions& options() const { return options_; }

  Calibrated run(const std::string& folder, const CalibrationProgress& progress) {
    const c10::NoGradGuard no_gradients;
    folder_ = folder;
    const CalibrationForecast ahead = forecast(setup_, cost_, config_.n_layers);
    if (progress.starts) progress.starts(ahead);
    meter_.emplace(setup_.rates, ahead.seconds, config_.n_layers, progress);
    fit_.emplace(after_, sets_, request_, cost_, *meter_);
    streams_.emplace(model_, after_, options_, cost_, sets_,
                     [this](double flops) { spend(flops); });
    streams_->embed();
    if (tries_gains()) prepare_trial();
    std::vector<LayerStatistics> statistics;
    for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
      throw_if_stopped(/*resumable=*/true);
      run_layer(layer, statistics);
    }
    finish_trial();
    if (options_.refits()) result_.weights_folder = folder_;
    if (options_.measures_quality()) {
      NetworkFit(model_, sets_, setup_.fresh, request_, cost_, *meter_, device_).finish(result_);
    }
    if (!options_.save_statistics.empty()) {
      save_statistics(
          options_.save_statistics, statistics,
          {.model_sha256 = model_digest(model_), .tokens = setup_.sizes.text().train_tokens()});
    }
    result_.tokens = setup_.sizes.text().tokens();
    meter_->finish();
    return std::move(result_);
  }

 private:
  /// FLOPs that are done on every run.
  void spend(double flops) {
    result_.flops += flops;
    meter_->ran(flops);
  }

  bool tries_gains() const { return candidates_.size() > 1; }

  /// No second trial where the run that this one resumes has chosen.
  void prepare_trial() {
    if (const auto chosen = load_gains(folder_)) {
      result_.gains = *chosen;
      trial_.reset();
    } else {
      trial_->start(sets_.front().parent, setup_.sizes.text().train_windows());
    }
  }

  /// What was left to the end: gains of all layers at once.
  void finish_trial() {
    if (!tries_gains()) return;
    if (trial_) {
      result_.gains = trial_->best();
      save_gains(folder_, result_.gains);
    }
    for (LayerTransform& t : result_.transforms) t = with_gains(std::move(t), result_.gains);
    spend(cost_.trial_losses());
  }

  void run_layer(int64_t layer, std::vector<LayerStatistics>& kept) {
    meter_->enter(layer, "statistics");
    const LayerWeights w = load_layer(model_, layer, at::kFloat, device_);
    const bool saved = !options_.save_statistics.empty();
    const bool sees_converted = options_.sequential && layer > 0;
    LayerStatistics statistics = streams_->through_parent_attention(
        layer, w,
        {.moments = saved || !sees_converted, .norms = saved || request_.method == Method::kPrune});
    if (saved) kept.push_back(statistics);
    if (sees_converted) statistics.moment = streams_->converted_moment(w);
    const AttentionWeights wide = widen_attention(w, config_);
    meter_->enter(layer, "merging");
    const LayerDecision decision = decide_layer(request_, layer, wide, statistics, config_);
    check_transform(decision.transform, config_, layer);  // before anything rests on it
    if (trial_) trial_->add_layer(layer, w, wide, decision.transform);
    spend(cost_.trial());
    const LayerTransform transform = with_gains(decision.transform, candidates_.front());
    LayerReport report = report_of(layer, decision);
    LayerWeights own =
        with_attention(w, fold_attention(wide, transform, config_, request_.n_kv_heads), after_);
    meter_->decided();
    if (options_.refits()) {
      const std::string path = calibrated_layer_path(folder_, layer);
      if (load_calibrated_layer(path, after_, layer, own, report)) {
        meter_->spare(report.fit_flops - static_cast<double>(report.steps) * cost_.step(),
                      options_.layer_steps);
      } else {
        fit_->improve(layer, own, report);
        save_calibrated_layer(path, model_, request_.dtype, after_, layer, own, report);
        // What is on disk is what runs on: rounded, as the finished model will be.
        load_calibrated_layer(path, after_, layer, own, report);
      }
    }
    result_.flops += report.fit_flops;
    result_.transforms.push_back(tries_gains() ? decision.transform : transform);
    result_.layers.push_back(report);
    meter_->enter(layer, "running on");
    streams_->advance(layer, own, w);
  }

  const ModelFolder& model_;
  const ModelConfig& config_;
  ModelConfig after_;
  at::Device device_;
  CalibrationSetup setup_;
  const ConvertOptions request_;
  const CalibrationOptions& options_;  // of request_
  CalibrationCost cost_;
  std::optional<CalibrationMeter> meter_;
  std::string folder_;
  std::vector<WindowSet> sets_;  // the text's first
  std::optional<ResidualStreams> streams_;
  std::optional<LayerFit> fit_;
  std::vector<Gains> candidates_;
  std::optional<GainTrial> trial_;
  Calibrated result_;
};

Calibration::Calibration(const ModelFolder& model, const ConvertOptions& request,
                         const TextProgress& writes)
    : calibrator_(std::make_unique<Calibrator>(model, request, writes)) {}

Calibration::~Calibration() = default;

Calibrated Calibration::run(const std::string& folder, const CalibrationProgress& progress) {
  return calibrator_->run(folder, progress);
}

const CalibrationOptions& Calibration::options() const { return calibrator_->options(); }

}  // namespace regroup
