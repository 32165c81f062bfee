#include "calibration_probe.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <numeric>

#include "attention_fold.h"
#include "calibrated_layer.h"
#include "layer_method.h"
#include "layer_training.h"

namespace regroup {
namespace {

using at::Tensor;

/// Of steps that are timed: their size does not matter.
constexpr double kProbeLr = 0.01;

class Watch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Numbers from -1 to 1 without a pattern, always the same ones, [windows, seq, hidden].
Tensor some_input(int64_t windows, int64_t seq, int64_t hidden, at::Device device) {
  return at::arange(windows * seq * hidden, at::TensorOptions(at::kFloat))
      .sin()
      .mul(43758.5453)  // the low bits of a sine are as good as random
      .frac()
      .view({windows, seq, hidden})
      .to(device);
}

/// Until the device has done what `last` comes from: a clock read before it says nothing.
void wait_for(const Tensor& last) {
  if (!last.is_cpu()) last.flatten().select(0, 0).item<float>();
}

class Probe {
 public:
  Probe(const ModelFolder& model, const ConvertOptions& request, const CalibrationSizes& sizes,
        at::Device device)
      : model_(model),
        request_(request),
        sizes_(sizes),
        device_(device),
        config_(model.config()),
        after_(model.config()),
        seq_(sizes.text().seq_len),
        rope_(make_rope_tables(config_, seq_, seq_, device)),
        x_(some_input(windows_at_once(seq_), seq_, config_.hidden_size, device)) {
    after_.n_kv_heads = request.n_kv_heads;
  }

  CalibrationRates run() {
    const c10::NoGradGuard no_gradients;
    const Watch reading;
    const LayerWeights parent = load_layer(model_, 0, at::kFloat, device_);
    wait_for(parent.output);
    const double reading_s = reading.seconds();
    CalibrationRates rates;
    const Tensor y = forward(parent, rates);
    MomentAccumulator moments(config_.hidden_size);
    moments.add(y);
    const Watch deciding;
    LayerWeights own = decide(
        parent, {.moment = moments.mean(), .head_norm = at::ones({config_.n_heads}, at::kDouble)});
    wait_for(own.output);
    rates.layer_s = reading_s + deciding.seconds();
    if (sizes_.steps > 0) rates.step_s = step(own, y);
    return rates;
  }

 private:
  /// The normed input of the layer.
  Tensor forward(const LayerWeights& w, CalibrationRates& rates) const {
    wait_for(through_layer(config_, w, 0, x_.narrow(0, 0, 1), rope_));  // the first time is slower
    const Watch watch;
    const Tensor after = through_layer(config_, w, 0, x_, rope_);
    MomentAccumulator moments(config_.hidden_size);
    const Tensor y = norm(x_, w.input_norm, config_.norm_eps);
    moments.add(y);
    wait_for(after);
    wait_for(y);
    const CalibrationCost cost(config_, request_, sizes_);
    const int64_t tokens = x_.size(0) * seq_;
    rates.flops_per_s = (cost.parent(tokens, seq_) + cost.moment(tokens)) / watch.seconds();
    return y;
  }

  LayerWeights decide(const LayerWeights& w, const LayerStatistics& statistics) const {
    const AttentionWeights wide = widen_attention(w, config_);
    const LayerDecision decision = decide_layer(request_, 0, wide, statistics, config_);
    return with_attention(w, fold_attention(wide, decision.transform, config_, request_.n_kv_heads),
                          after_);
  }

  /// Seconds of a training step: of two, after a first one that is slower. Those of the text's windows
  /// are measured, those of other sets follow from their FLOPs.
  double step(LayerWeights& own, const Tensor& y) const {
    double after_first = 0;
    const Watch watch;
    const WindowSizes& text = sizes_.text();
    const LayerWindows source{.n_train = x_.size(0),
                              .n = x_.size(0),
                              .step_windows = text.step_windows,
                              .rope = &rope_,
                              .batch = [&](const std::vector<int64_t>& windows) {
                                const auto count = static_cast<int64_t>(windows.size());
                                return LayerBatch{y.narrow(0, 0, count), x_.narrow(0, 0, count),
                                                  at::ones({count, seq_, 1}, x_.options())};
                              }};
    const LayerTrainingOptions options{
        .steps = 3, .learning_rate = kProbeLr, .looks = 0, .stepped = [&](int64_t steps) {
          if (steps > 1) return;
          wait_for(own.output);
          after_first = watch.seconds();
        }};
    const c10::AutoGradMode gradients(true);
    train_layer(after_, own, 0, {source}, 1.0, options);
    wait_for(own.output);
    const double seconds = (watch.seconds() - after_first) / 2;
    const CalibrationCost cost(config_, request_, sizes_);
    const auto windows = static_cast<double>(std::min(text.step_windows, x_.size(0)));
    return seconds * static_cast<double>(text.step_windows) / windows * cost.step() /
           cost.step(text);
  }

  const ModelFolder& model_;
  const ConvertOptions& request_;
  const CalibrationSizes& sizes_;
  at::Device device_;
  const ModelConfig& config_;
  ModelConfig after_;
  int64_t seq_;
  RopeTables rope_;
  Tensor x_;
};

}  // namespace

CalibrationRates measure_rates(const ModelFolder& model, const ConvertOptions& request,
                               const CalibrationSizes& sizes, at::Device device) {
  return Probe(model, request, sizes, device).run();
}

}  // namespace regroup
