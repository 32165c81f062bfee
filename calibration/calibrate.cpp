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

MergeRules rules_of(const TransformRequest& request, int64_t layer) {
  return {.method = request.method,
          .grouping = request.grouping,
          .n_kv_heads = request.n_kv_heads,
          .logit_gain = request.logit_gain != Gain::kOff,
          .output_gain = request.output_gain != Gain::kOff,
          .seed = request.seed + static_cast<uint64_t>(layer)};
}

LayerReport report_of(int64_t layer, const LayerDecision& decision) {
  return {.layer = layer,
          .order = decision.transform.permutation,
          .key_residual = decision.key.share(),
          .value_residual = decision.value.share(),
          .closed = {},
          .refitted = {},
          .fit_flops = 0,
          .trained = {}};
}

/// Multiply-adds a token of one layer's attention, times two.
double attention_flops(const ModelConfig& c, int64_t seq) {
  const int64_t weights = c.hidden_size * (2 * c.query_size() + 2 * c.kv_size());
  // Scores and mixing see half the window on average.
  return 2.0 * static_cast<double>(weights) + 2.0 * static_cast<double>(seq * c.query_size());
}

double mlp_flops(const ModelConfig& c) {
  return 6.0 * static_cast<double>(c.hidden_size * c.intermediate_size);
}

}  // namespace

class Calibrator {
 public:
  Calibrator(const ModelFolder& model, const TransformRequest& request)
      : model_(model),
        config_(model.config()),
        after_(model.config()),
        request_(request),
        options_(request_.calibration),
        device_(open_device(options_.device)),
        ids_(calibration_windows(model, options_, needed_tokens())),
        seq_(ids_.size(1)),
        n_(ids_.size(0)),
        n_train_(n_ - held_out_windows(n_)),
        at_once_(std::max<int64_t>(1, kCalibrationTokensAtOnce / seq_)),
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

  Calibrated run(const std::string& folder, const CalibrationProgress& progress) {
    const c10::NoGradGuard no_gradients;
    folder_ = folder;
    embed();
    if (tries_gains()) prepare_trial();
    std::vector<LayerStatistics> statistics;
    for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
      throw_if_stopped(/*resumable=*/true);
      if (progress) progress(layer, config_.n_layers);
      run_layer(layer, statistics);
    }
    finish_trial();
    if (progress) progress(config_.n_layers, config_.n_layers);
    if (!options_.save_statistics.empty()) {
      save_statistics(options_.save_statistics, statistics,
                      {.model_sha256 = model_digest(model_), .tokens = n_train_ * seq_});
    }
    result_.tokens = n_ * seq_;
    if (options_.refits()) result_.weights_folder = folder_;
    return std::move(result_);
  }

 private:
  /// More tokens than the side of the largest matrix that is decomposed or inverted.
  int64_t needed_tokens() const {
    const int64_t members = config_.n_kv_heads / request_.n_kv_heads;
    const int64_t group = request_.method == Method::kPca ? members * config_.head_dim : 0;
    return 2 * std::max(group, options_.refit_output ? config_.query_size() : 0);
  }

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
    result_.flops += static_cast<double>(n_ * seq_) *
                     (attention_flops(config_, seq_) + mlp_flops(config_) +
                      2.0 * static_cast<double>(config_.hidden_size * config_.hidden_size));
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
    });
    result_.flops += 2.0 * static_cast<double>(n_train_ * seq_) *
                     static_cast<double>(config_.hidden_size * config_.hidden_size);
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
    });
    w.output.copy_(least_squares.solve(w.output));
    const auto q = static_cast<double>(config_.query_size());
    report.fit_flops +=
        static_cast<double>(n_train_ * seq_) * (attention_flops(after_, seq_) + 2 * q * q);
  }

  double held_out_error(int64_t layer, const LayerWeights& w) const {
    return layer_error(after_, w, layer, rope_, n_train_, n_,
                       [&](const std::vector<int64_t>& windows) { return gather(windows, w); });
  }

  /// Tokens that all candidates see together.
  double gain_tokens() const {
    return static_cast<double>(static_cast<int64_t>(candidates_.size()) * (n_ - n_train_) * seq_);
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
    result_.flops +=
        gain_tokens() * 2.0 * static_cast<double>(config_.vocab_size * config_.hidden_size);
  }

  void improve(int64_t layer, LayerWeights& w, LayerReport& report) {
    report.closed = held_out_error(layer, w);
    if (options_.refit_output) {
      refit(layer, w, report);
      report.refitted = held_out_error(layer, w);
    }
    if (options_.layer_steps > 0) {
      const auto source = [&](const std::vector<int64_t>& windows) { return gather(windows, w); };
      const c10::AutoGradMode gradients(true);
      const LayerTrainingOptions training{.steps = options_.layer_steps,
                                          .batch = options_.layer_batch,
                                          .learning_rate = options_.layer_lr,
                                          .seed = request_.seed};
      report.trained =
          train_layer(after_, w, layer, rope_, n_train_, n_, source, training).held_out_after;
      report.fit_flops += 3.0 * attention_flops(after_, seq_) *
                          static_cast<double>(options_.layer_steps * options_.layer_batch * seq_);
    }
  }

  void run_layer(int64_t layer, std::vector<LayerStatistics>& kept) {
    const LayerWeights w = load_layer(model_, layer, at::kFloat, device_);
    LayerStatistics statistics;
    run_parent(layer, w, statistics);
    if (!options_.save_statistics.empty()) kept.push_back(statistics);
    if (options_.sequential && layer > 0) statistics.moment = converted_moment(w);
    const AttentionWeights wide = widen_attention(w, config_);
    const LayerDecision decision =
        decide_layer(rules_of(request_, layer), wide, statistics, config_);
    check_transform(decision.transform, config_, layer);  // before anything rests on it
    if (trial_) trial_->add_layer(layer, w, wide, decision.transform);
    if (tries_gains()) {
      result_.flops += gain_tokens() * (attention_flops(after_, seq_) + mlp_flops(config_));
    }
    const LayerTransform transform = with_gains(decision.transform, candidates_.front());
    LayerReport report = report_of(layer, decision);
    LayerWeights own =
        with_attention(w, fold_attention(wide, transform, config_, request_.n_kv_heads), after_);
    if (options_.refits()) {
      const std::string path = calibrated_layer_path(folder_, layer);
      if (!load_calibrated_layer(path, after_, layer, own, report)) {
        improve(layer, own, report);
        save_calibrated_layer(path, model_, request_.dtype, after_, layer, own, report);
        // What is on disk is what runs on: rounded, as the finished model will be.
        load_calibrated_layer(path, after_, layer, own, report);
      }
    }
    result_.flops += report.fit_flops;
    result_.transforms.push_back(tries_gains() ? decision.transform : transform);
    result_.layers.push_back(report);
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
    });
    if (!options_.sequential) return;
    result_.flops +=
        static_cast<double>(n_ * seq_) * (attention_flops(after_, seq_) + mlp_flops(config_));
  }

  const ModelFolder& model_;
  const ModelConfig& config_;
  ModelConfig after_;
  const TransformRequest request_;
  const CalibrationOptions& options_;  // of request_
  std::string folder_;
  at::Device device_;
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
        decide_layer(rules_of(request, layer), widen_attention(w, config), statistics, config);
    result.transforms.push_back(with_gains(decision.transform, result.gains));
    result.layers.push_back(report_of(layer, decision));
  }
  return result;
}

}  // namespace regroup
