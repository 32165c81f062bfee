#include "regroup/calibration/calibrate.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>

#include "calibrated_layer.h"
#include "calibration_meter.h"
#include "calibration_setup.h"
#include "calibration_text.h"
#include "gain_choice.h"
#include "layer_fit.h"
#include "layer_method.h"
#include "network_fit.h"
#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"
#include "regroup/convert/legality.h"
#include "regroup/model/runtime.h"
#include "vocabulary_run.h"
#include "window_set.h"

namespace regroup {
namespace {

using at::Tensor;

LayerReport report_of(int64_t layer, const LayerDecision& decision) {
  return {.layer = layer,
          .order = decision.transform.permutation,
          .key_residual = decision.key.share(),
          .value_residual = decision.value.share(),
          .closed = {},
          .refitted = {},
          .fit_flops = 0,
          .trained = {},
          .steps = 0};
}

TransformRequest with_calibration(TransformRequest request, const CalibrationOptions& options) {
  request.calibration = options;
  return request;
}

}  // namespace

class Calibrator {
 public:
  Calibrator(const ModelFolder& model, const TransformRequest& request, const TextProgress& writes)
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
    embed();
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
  void embed() {
    const Tensor table =
        at::empty({config_.vocab_size, config_.hidden_size}, at::TensorOptions(at::kFloat));
    load_weight(model_, tensor_name(config_, Role::kEmbedding), table);
    for (WindowSet& set : sets_) {
      set.for_chunks(0, set.sizes.windows, [&](int64_t first, int64_t count) {
        const Tensor x = at::embedding(table, set.ids.narrow(0, first, count));
        set.parent.write(first, x);
        set.converted.write(first, x);
      });
    }
  }

  /// @param finite  bool scalar
  void require_finite(const Tensor& finite, int64_t layer) const {
    if (finite.item<bool>()) return;
    throw CheckpointError({.code = "CALIBRATION_NONFINITE",
                           .message = fmt::format("activations must be finite, found NaN or "
                                                  "infinity after the attention of layer {}",
                                                  layer),
                           .path = model_.path(),
                           .hint =
                               "check the model with `regroup eval` on the same text; where that "
                               "is finite, give --calibration-first-tokens 0"});
  }

  /// What is summed over the windows: moments and norms over those of the text that are worked on.
  struct Sums {
    MomentAccumulator moments;
    Tensor norms;               // [n_heads] float64, or undefined
    Tensor finite;              // bool scalar, of all
    bool wants_moments = true;  // else those of converted inputs take their place
  };

  /// The parent's attention over every window: its residual stream moves on, its inputs are summed.
  void run_parent(int64_t layer, const LayerWeights& w, LayerStatistics& statistics) {
    const auto wide = at::TensorOptions().dtype(at::kDouble).device(device_);
    Sums sums{MomentAccumulator(config_.hidden_size), {}, at::ones({}, wide.dtype(at::kBool))};
    const bool saved = !options_.save_statistics.empty();
    sums.wants_moments = saved || !sees_converted(layer);
    if (request_.method == Method::kPrune || saved) {
      sums.norms = at::zeros({config_.n_heads}, wide);
    }
    for (WindowSet& set : sets_) run_parent(layer, w, set, sums);
    require_finite(sums.finite, layer);
    if (sums.wants_moments) statistics.moment = sums.moments.mean();
    if (sums.norms.defined()) {
      const auto tokens =
          static_cast<double>(std::max<int64_t>(1, setup_.sizes.text().train_tokens()));
      statistics.head_norm = sums.norms.cpu().div(tokens);
    }
  }

  void run_parent(int64_t layer, const LayerWeights& w, WindowSet& set, Sums& sums) {
    set.for_chunks(0, set.sizes.windows, [&](int64_t first, int64_t count) {
      spend(cost_.parent(count * set.sizes.seq_len, set.sizes.seq_len));
      const Tensor x = set.parent.read(first, count);
      if (!options_.sequential) set.converted.write(first, x);  // what this layer is judged on
      if (set.before) set.before->write(first, x);
      const Tensor y = norm(x, w.input_norm, config_.norm_eps);
      const Tensor heads = attention_heads(config_, w, layer, y, set.rope);
      const Tensor after = x.add(project(heads, w.output, w.output_bias));
      sums.finite.logical_and_(after.isfinite().all());
      set.parent.write(first, after);
      const int64_t train = std::clamp<int64_t>(set.sizes.train_windows() - first, 0, count);
      if (train == 0 || !set.sizes.text) return;
      if (sums.wants_moments) {
        sums.moments.add(y.narrow(0, 0, train));
        spend(cost_.moment(train * set.sizes.seq_len));
      }
      if (sums.norms.defined()) sums.norms.add_(head_norms(w, heads.narrow(0, 0, train)));
    });
  }

  /// Sum over tokens of |Wo_h o_h|, [n_heads].
  Tensor head_norms(const LayerWeights& w, const Tensor& heads) const {
    const int64_t d = config_.head_dim;
    const Tensor rows = heads.reshape({-1, config_.n_heads, d}).transpose(0, 1);  // [H, tokens, d]
    const Tensor wo =
        w.output.unflatten(1, {config_.n_heads, d}).permute({1, 2, 0});  // [H, d, hidden]
    const Tensor metric = wo.matmul(wo.transpose(1, 2));                 // [H, d, d]
    return rows.matmul(metric).mul(rows).sum(2).clamp_min(0).sqrt().sum(1, false, at::kDouble);
  }

  /// Moments of what the converted layers below hand to this one.
  Tensor converted_moment(const LayerWeights& w) {
    MomentAccumulator moments(config_.hidden_size);
    const WindowSet& text = sets_.front();
    text.for_chunks(0, text.sizes.train_windows(), [&](int64_t first, int64_t count) {
      moments.add(norm(text.converted.read(first, count), w.input_norm, config_.norm_eps));
      spend(cost_.moment(count * text.sizes.seq_len));
    });
    return moments.mean();
  }

  /// Whether a layer is fitted on other inputs than the parent's.
  bool sees_converted(int64_t layer) const { return options_.sequential && layer > 0; }

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
    LayerStatistics statistics;
    run_parent(layer, w, statistics);
    if (!options_.save_statistics.empty()) kept.push_back(statistics);
    if (sees_converted(layer)) statistics.moment = converted_moment(w);
    const AttentionWeights wide = widen_attention(w, config_);
    meter_->enter(layer, "merging");
    const LayerDecision decision =
        decide_layer(merge_rules(request_, layer), wide, statistics, config_);
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
    advance(layer, own, w);
  }

  /// Both residual streams to the end of the layer; the MLP is the same.
  void advance(int64_t layer, const LayerWeights& own, const LayerWeights& w) {
    if (layer + 1 == config_.n_layers) return advance_last(own, w);
    for (WindowSet& set : sets_) {
      advance_parent(w, set, 0);
      if (options_.sequential) advance_converted(layer, own, set, 0);
    }
  }

  /// What is read of the last layer: what held-out windows are measured on.
  void advance_last(const LayerWeights& own, const LayerWeights& w) {
    if (!options_.measures_quality()) return;
    for (WindowSet& set : sets_) {
      const int64_t held_out = set.sizes.train_windows();
      advance_parent(w, set, held_out);
      if (options_.sequential) advance_converted(config_.n_layers - 1, own, set, held_out);
    }
  }

  void advance_parent(const LayerWeights& w, WindowSet& set, int64_t first_window) {
    set.for_chunks(first_window, set.sizes.windows, [&](int64_t first, int64_t count) {
      const Tensor middle = set.parent.read(first, count);
      const Tensor y = norm(middle, w.mlp_norm, config_.norm_eps);
      set.parent.write(first, middle.add(mlp_output(w, y)));
    });
  }

  void advance_converted(int64_t layer, const LayerWeights& own, WindowSet& set,
                         int64_t first_window) {
    set.for_chunks(first_window, set.sizes.windows, [&](int64_t first, int64_t count) {
      const Tensor x = set.converted.read(first, count);
      set.converted.write(first, through_layer(after_, own, layer, x, set.rope));
      spend(cost_.converted(count * set.sizes.seq_len, set.sizes.seq_len));
    });
  }

  const ModelFolder& model_;
  const ModelConfig& config_;
  ModelConfig after_;
  at::Device device_;
  CalibrationSetup setup_;
  const TransformRequest request_;
  const CalibrationOptions& options_;  // of request_
  CalibrationCost cost_;
  std::optional<CalibrationMeter> meter_;
  std::string folder_;
  std::vector<WindowSet> sets_;  // the text's first
  std::optional<LayerFit> fit_;
  std::vector<Gains> candidates_;
  std::optional<GainTrial> trial_;
  Calibrated result_;
};

Calibration::Calibration(const ModelFolder& model, const TransformRequest& request,
                         const TextProgress& writes)
    : calibrator_(std::make_unique<Calibrator>(model, request, writes)) {}

Calibration::~Calibration() = default;

Calibrated Calibration::run(const std::string& folder, const CalibrationProgress& progress) {
  return calibrator_->run(folder, progress);
}

const CalibrationOptions& Calibration::options() const { return calibrator_->options(); }

Calibrated transform_by_statistics(const ModelFolder& model, const TransformRequest& request,
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
    if (file.empty()) return weights_only_statistics(w.input_norm);
    return measured[static_cast<size_t>(layer)];
  };
  Calibrated result;
  result.gains = gain_candidates(request).front();
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    throw_if_stopped(/*resumable=*/false);
    if (decides) decides(layer, config.n_layers);
    const LayerWeights w =
        load_layer(model, layer, vocabulary ? at::kDouble : at::kFloat, at::kCPU);
    const LayerDecision decision = decide_layer(
        merge_rules(request, layer), widen_attention(w, config), statistics_of(layer, w), config);
    result.transforms.push_back(with_gains(decision.transform, result.gains));
    result.layers.push_back(report_of(layer, decision));
  }
  if (decides) decides(config.n_layers, config.n_layers);
  return result;
}

}  // namespace regroup
