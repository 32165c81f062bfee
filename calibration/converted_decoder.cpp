#include "regroup/calibration/converted_decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include "attention_fold.h"
#include "calibrated_layer.h"
#include "layer_method.h"
#include "regroup/base/error.h"
#include "regroup/base/normal_stream.h"
#include "regroup/base/stop_signal.h"
#include "regroup/convert/plan.h"
#include "regroup/model/runtime.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr Role kMergedRoles[] = {Role::kKey, Role::kValue, Role::kKeyBias, Role::kValueBias};

ModelConfig config_after(const ModelConfig& parent, int64_t n_kv_heads) {
  ModelConfig after = parent;
  after.n_kv_heads = n_kv_heads;
  return after;
}

/// As TensorWriter draws them: N(0, std(parent)^2), by seed and name.
void redraw(const LayerWeights& parent, const ModelConfig& before, LayerWeights& own,
            const ModelConfig& after, int64_t layer, uint64_t seed) {
  for (const Role role : kMergedRoles) {
    const Tensor old = layer_view(parent, before, role);
    if (!old.defined()) continue;
    const double deviation = old.to(at::kDouble).std(/*unbiased=*/false).item<double>();
    const Tensor into = layer_view(own, after, role);
    std::vector<double> values(static_cast<size_t>(into.numel()));
    NormalStream normal(seed, part_name(after, role, layer));
    for (double& value : values) value = deviation * normal.next();
    into.copy_(at::from_blob(values.data(), into.sizes(), at::TensorOptions(at::kDouble)));
  }
}

void round_as_stored(const ModelFolder& model, const std::string& dtype, const ModelConfig& after,
                     int64_t layer, LayerWeights& own) {
  for (const Role role : kDecidedRoles) {
    const Tensor view = layer_view(own, after, role);
    if (!view.defined()) continue;
    const std::string name = tensor_name(after, role, layer);
    const Dtype stored = target_dtype(dtype).value_or(model.dtype(name));
    view.copy_(view.to(to_scalar_type(stored)));
    if (view.isfinite().all().item<bool>()) continue;
    throw CheckpointError(
        {.code = "VAL_OVERFLOW",
         .message = fmt::format("converted weights must fit {}, found NaN or infinity",
                                dtype_name(stored)),
         .path = model.path(),
         .tensor = name,
         .hint = "leave out the method or number of heads that was being measured"});
  }
}

LayerWeights converted_layer(const ModelFolder& model, const LayerWeights& parent,
                             const ConvertOptions& request, const Calibrated& calibrated,
                             int64_t layer) {
  const ModelConfig& before = model.config();
  const ModelConfig after = config_after(before, request.n_kv_heads);
  const LayerTransform& transform = calibrated.transforms[static_cast<size_t>(layer)];
  LayerWeights own = with_attention(
      parent,
      fold_attention(widen_attention(parent, before), transform, before, request.n_kv_heads),
      after);
  if (transform.redraw) redraw(parent, before, own, after, layer, request.seed);
  if (!calibrated.weights_folder.empty()) {
    const std::string path = calibrated_layer_path(calibrated.weights_folder, layer);
    LayerReport report;
    if (!load_calibrated_layer(path, after, layer, own, report)) {
      throw CheckpointError({.code = "IO_READ_ERROR",
                             .message = "a calibrated layer must be readable as it was written",
                             .path = path,
                             .hint = "check the disk that it is on, and run the command again"});
    }
  } else {
    round_as_stored(model, request.dtype, after, layer, own);
  }
  return own;
}

/// [n_kv_heads head_dim, ...] -> [n_heads_before head_dim, ...]: each head as often as it is read.
Tensor repeat_heads(const Tensor& rows, int64_t head_dim, int64_t times) {
  return rows.unflatten(0, {-1, head_dim}).repeat_interleave(times, 0).flatten(0, 1);
}

LayerWeights ungrouped(const LayerWeights& own, const ModelConfig& after,
                       const ModelConfig& before) {
  const int64_t times = before.n_kv_heads / after.n_kv_heads;
  LayerWeights wide = own;
  const auto widen = [&](Role query, Role key, Role value) {
    return at::cat({layer_view(own, after, query),
                    repeat_heads(layer_view(own, after, key), after.head_dim, times),
                    repeat_heads(layer_view(own, after, value), after.head_dim, times)});
  };
  wide.qkv = widen(Role::kQuery, Role::kKey, Role::kValue);
  if (own.qkv_bias.defined()) {
    wide.qkv_bias = widen(Role::kQueryBias, Role::kKeyBias, Role::kValueBias);
  }
  if (after.attention.has_gains_of_heads()) {
    wide.key_norm.weight = repeat_heads(own.key_norm.weight, after.head_dim, times);
  }
  return wide;
}

}  // namespace

Calibrated decide_conversion(const ModelFolder& model, const ConvertOptions& request,
                             const std::string& layers_folder,
                             const CalibrationProgress& progress) {
  const bool nothing_to_decide =
      request.n_kv_heads == model.config().n_kv_heads || request.method == Method::kRandom;
  if (nothing_to_decide) {
    Calibrated plain;
    plain.transforms = make_transforms(request.method, model.config(), request.n_kv_heads);
    return plain;
  }
  if (request.calibration.files.empty())
    return transform_by_statistics(model, request, progress.decides);
  return Calibration(model, request, progress.writes).run(layers_folder, progress);
}

Decoder converted_decoder(const ModelFolder& model, Decoder& parent, const ConvertOptions& request,
                          const Calibrated& calibrated) {
  Decoder converted(config_after(model.config(), request.n_kv_heads), parent);
  for (int64_t layer = 0; layer < model.config().n_layers; ++layer) {
    throw_if_stopped(/*resumable=*/false);
    converted.layer(layer) =
        converted_layer(model, parent.layer(layer), request, calibrated, layer);
  }
  return converted;
}

Decoder with_one_layer_converted(const ModelFolder& model, Decoder& parent,
                                 const ConvertOptions& request, const Calibrated& calibrated,
                                 int64_t layer) {
  const ModelConfig after = config_after(model.config(), request.n_kv_heads);
  Decoder mixed = parent;  // shares every tensor
  mixed.layer(layer) =
      ungrouped(converted_layer(model, parent.layer(layer), request, calibrated, layer), after,
                model.config());
  return mixed;
}

}  // namespace regroup
