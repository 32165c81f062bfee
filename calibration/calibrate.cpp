#include "regroup/calibration/calibrate.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>

#include "activation_store.h"
#include "calibrated_layer.h"
#include "calibration_meter.h"
#include "calibration_setup.h"
#include "calibration_text.h"
#include "gain_choice.h"
#include "layer_method.h"
#include "layer_training.h"
#include "output_refit.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/stop_signal.h"
#include "regroup/convert/legality.h"
#include "regroup/model/runtime.h"

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
  Calibrator(const ModelFolder& model, const TransformRequest& request)
      : model_(model),
        config_(model.config()),
        after_(model.config()),
        device_(open_device(request.calibration.device)),
        setup_(set_up_calibration(model, request, device_)),
        request_(with_calibration(request, setup_.options)),
        options_(request_.calibration),
        cost_(config_, request_, setup_.sizes),
        ids_(setup_.ids),
        seq_(setup_.sizes.seq_len),
        n_(setup_.sizes.windows),
        n_train_(n_ - setup_.sizes.held_out),
        at_once_(windows_at_once(seq_)),
        rope_(make_rope_table(config_, seq_, seq_, device_)),
        parent_(n_, seq_, config_.hidden_size, options_.scratch, device_),
        converted_(n_, seq_, config_.hidden_size, options_.scratch, device_),
        candidates_(gain_candidates(request_)) {
    after_.n_kv_heads = request.n_kv_heads;
    result_.gains = candidates_.front();
    if (tries_gains()) {
      trial_.emplace(model_, request.n_kv_heads, candidates_,
                     ids_.narrow(0, n_train_, n_ - n_train_), options_.scratch, device_);
    }
  }

  const CalibrationOptions& options() const { return options_; }

  Calibrated run(const std::string& folder, const CalibrationProgress& progress) {
    const c10::NoGradGuard no_gradients;
    folder_ = folder;
    const CalibrationForecast ahead = forecast(setup_, cost_, config_.n_layers);
    if (progress.starts) progress.starts(ahead);
    meter_.emplace(setup_.rates, ahead.seconds, config_.n_layers, progress);
    embed();
    if (tries_gains()) prepare_trial();
    std::vector<LayerStatistics> statistics;
    for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
      throw_if_stopped(/*resumable=*/true);
      run_layer(layer, statistics);
    }
    finish_trial();
    if (!options_.save_statistics.empty()) {
      save_statistics(options_.save_statistics, statistics,
                      {.model_sha256 = model_digest(model_), .tokens = n_train_ * seq_});
    }
    result_.tokens = n_ * seq_;
    if (options_.refits()) result_.weights_folder = folder_;
    meter_->finish();
    return std::move(result_);
  }

 private:
  template <typename Body>
  void for_chunks(int64_t first, int64_t last, const Body& body) const {
    for (int64_t at = first; at < last; at += at_once_) body(at, std::min(at_once_, last - at));
  }

  void embed() {
    const Tensor table =
        at::empty({config_.vocab_size, config_.hidden_size}, at::TensorOptions(at::kFloat));
    load_weight(model_, tensor_name(config_, Role::kEmbedding), table);
    for_chunks(0, n_, [&](int64_t first, int64_t count) {
      const Tensor x = at::embedding(table, ids_.narrow(0, first, count));
      parent_.write(first, x);
      converted_.write(first, x);
    });
  }

  Tensor normed(const ActivationStore& store, int64_t first, int64_t count,
                const NormWeights& weights) const {
    return norm(store.read(first, count), weights, config_.norm_eps);
  }

  /// @param finite  bool scalar
  void require_finite(const Tensor& finite, int64_t layer) const {
    if (finite.item<bool>()) return;
    throw CheckpointError({.code = "CALIBRATION_NONFINITE",
                           .message = fmt::format("activations must be finite, found NaN or "
                                                  "infinity after the attention of layer {}",
                                                  layer),
                           .path = model_.path(),
                           .tensor = {},
                           .hint = "check the model with `regroup eval` on the same text"});
  }

  /// The parent's attention over every window: its residual stream moves on, its inputs are summed.
  void run_parent(int64_t layer, const LayerWeights& w, LayerStatistics& statistics) {
    MomentAccumulator moments(config_.hidden_size);
    const auto wide = at::TensorOptions().dtype(at::kDouble).device(device_);
    const Tensor norms = at::zeros({config_.n_heads}, wide);
    const Tensor finite = at::ones({}, wide.dtype(at::kBool));
    const bool ranks_heads = request_.method == Method::kPrune || !options_.save_statistics.empty();
    for_chunks(0, n_, [&](int64_t first, int64_t count) {
      spend(cost_.parent(count * seq_));
      const Tensor x = parent_.read(first, count);
      if (!options_.sequential) converted_.write(first, x);  // what this layer is judged on
      const Tensor y = norm(x, w.input_norm, config_.norm_eps);
      const Tensor heads = attention_heads(config_, w, layer, y, rope_);
      const Tensor after = x.add(project(heads, w.output, w.output_bias));
      finite.logical_and_(after.isfinite().all());
      parent_.write(first, after);
      const int64_t train = std::clamp<int64_t>(n_train_ - first, 0, count);
      if (train == 0) return;
      moments.add(y.narrow(0, 0, train));
      if (ranks_heads) norms.add_(head_norms(w, heads.narrow(0, 0, train)));
    });
    require_finite(finite, layer);
    statistics.moment = moments.mean();
    if (ranks_heads) {
      statistics.head_norm =
          norms.cpu().div(static_cast<double>(std::max<int64_t>(1, moments.tokens())));
    }
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
    for_chunks(0, n_train_, [&](int64_t first, int64_t count) {
      moments.add(normed(converted_, first, count, w.input_norm));
      spend(cost_.moment(count * seq_));
    });
    return moments.mean();
  }

  /// A layer's inputs, and what its attention should add: the parent's residual stream after attention
  /// minus the converted one before it, so that errors from below are corrected here.
  LayerBatch batch(const Tensor& x, const Tensor& target, const LayerWeights& w) const {
    return {norm(x, w.input_norm, config_.norm_eps), target.sub(x)};
  }
  LayerBatch gather(const std::vector<int64_t>& windows, const LayerWeights& w) const {
    return batch(converted_.gather(windows), parent_.gather(windows), w);
  }

  void refit(int64_t layer, LayerWeights& w, LayerReport& report) {
    OutputRefit least_squares(config_.query_size(), config_.hidden_size, device_);
    for_chunks(0, n_train_, [&](int64_t first, int64_t count) {
      const LayerBatch b = batch(converted_.read(first, count), parent_.read(first, count), w);
      const Tensor wanted = w.output_bias.defined() ? b.wanted.sub(w.output_bias) : b.wanted;
      least_squares.add(attention_heads(after_, w, layer, b.input, rope_), wanted);
      fitted(cost_.refit(count * seq_), report);
    });
    w.output.copy_(least_squares.solve(w.output));
  }

  double held_out_error(int64_t layer, const LayerWeights& w, LayerReport& report) {
    fitted(cost_.look((n_ - n_train_) * seq_), report);
    return layer_error(after_, w, layer, rope_, n_train_, n_, at_once_,
                       [&](const std::vector<int64_t>& windows) { return gather(windows, w); });
  }

  /// FLOPs that are done on every run.
  void spend(double flops) {
    result_.flops += flops;
    meter_->ran(flops);
  }
  /// FLOPs that a layer which is finished already has no need of.
  void fitted(double flops, LayerReport& report) {
    report.fit_flops += flops;
    meter_->ran(flops);
  }

  bool tries_gains() const { return candidates_.size() > 1; }

  /// No second trial where the run that this one resumes has chosen.
  void prepare_trial() {
    if (const auto chosen = load_gains(folder_)) {
      result_.gains = *chosen;
      trial_.reset();
    } else {
      trial_->start(parent_, n_train_);
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

  void improve(int64_t layer, LayerWeights& w, LayerReport& report) {
    report.closed = held_out_error(layer, w, report);
    // What adds nothing, as a layer of block expansion, goes on adding nothing.
    if (!w.output.any().item<bool>()) return spare_fit();
    if (options_.refit_output) {
      meter_->enter(layer, "least squares");
      refit(layer, w, report);
      report.refitted = held_out_error(layer, w, report);
    }
    if (options_.layer_steps > 0) train(layer, w, report);
  }

  /// The forecast counted a fit of this layer that is not made.
  void spare_fit() {
    const double look = cost_.look((n_ - n_train_) * seq_);
    const double refit = options_.refit_output ? cost_.refit(n_train_ * seq_) + look : 0;
    const double looks = options_.layer_steps > 0 ? static_cast<double>(kLooksAtHeldOut) * look : 0;
    meter_->spare(refit + looks, options_.layer_steps);
  }

  void train(int64_t layer, LayerWeights& w, LayerReport& report) {
    meter_->enter(layer, "training");
    const c10::AutoGradMode gradients(true);
    const LayerTrainingOptions training{.steps = options_.layer_steps,
                                        .batch = setup_.sizes.step_windows,
                                        .learning_rate = options_.layer_lr,
                                        .seed = request_.seed,
                                        .stepped = [&](int64_t) { meter_->stepped(); }};
    const LayerTrainingResult result = train_layer(
        after_, w, layer, rope_, n_train_, n_,
        [&](const std::vector<int64_t>& windows) { return gather(windows, w); },
        report.refitted.value_or(*report.closed), training);
    report.trained = result.held_out;
    report.steps = result.steps;
    const double looks = static_cast<double>(result.looks) * cost_.look((n_ - n_train_) * seq_);
    report.fit_flops += static_cast<double>(result.steps) * cost_.step() + looks;
    meter_->ran(looks);
    const int64_t spared = options_.layer_steps - result.steps;
    meter_->spare(
        static_cast<double>(kLooksAtHeldOut - result.looks) * cost_.look((n_ - n_train_) * seq_),
        spared);
  }

  void run_layer(int64_t layer, std::vector<LayerStatistics>& kept) {
    meter_->enter(layer, "statistics");
    const LayerWeights w = load_layer(model_, layer, at::kFloat, device_);
    LayerStatistics statistics;
    run_parent(layer, w, statistics);
    if (!options_.save_statistics.empty()) kept.push_back(statistics);
    if (options_.sequential && layer > 0) statistics.moment = converted_moment(w);
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
        improve(layer, own, report);
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
    if (layer + 1 == config_.n_layers) return;
    for_chunks(0, n_, [&](int64_t first, int64_t count) {
      const Tensor middle = parent_.read(first, count);
      parent_.write(first, middle.add(mlp_output(w, norm(middle, w.mlp_norm, config_.norm_eps))));
      if (!options_.sequential) return;
      const Tensor x = converted_.read(first, count);
      converted_.write(first, through_layer(after_, own, layer, x, rope_));
      spend(cost_.converted(count * seq_));
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
  Tensor ids_;
  int64_t seq_;
  int64_t n_;
  int64_t n_train_;
  int64_t at_once_;
  RopeTable rope_;
  ActivationStore parent_;     // before a layer: its input; after run_parent(): past its attention
  ActivationStore converted_;  // the same of the converted model
  std::vector<Gains> candidates_;
  std::optional<GainTrial> trial_;
  Calibrated result_;
};

Calibration::Calibration(const ModelFolder& model, const TransformRequest& request)
    : calibrator_(std::make_unique<Calibrator>(model, request)) {}

Calibration::~Calibration() = default;

Calibrated Calibration::run(const std::string& folder, const CalibrationProgress& progress) {
  return calibrator_->run(folder, progress);
}

const CalibrationOptions& Calibration::options() const { return calibrator_->options(); }

Calibrated transform_by_statistics(const ModelFolder& model, const TransformRequest& request) {
  const c10::NoGradGuard no_gradients;
  const ModelConfig& config = model.config();
  const std::string& file = request.calibration.statistics;
  std::vector<LayerStatistics> measured;
  if (!file.empty()) measured = load_statistics(file, config, model_digest(model));
  Calibrated result;
  result.gains = gain_candidates(request).front();
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    throw_if_stopped(/*resumable=*/false);
    const LayerWeights w = load_layer(model, layer, at::kFloat, at::kCPU);
    const LayerStatistics statistics =
        file.empty() ? weights_only_statistics(w.input_norm) : measured[static_cast<size_t>(layer)];
    const LayerDecision decision =
        decide_layer(merge_rules(request, layer), widen_attention(w, config), statistics, config);
    result.transforms.push_back(with_gains(decision.transform, result.gains));
    result.layers.push_back(report_of(layer, decision));
  }
  return result;
}

}  // namespace regroup
