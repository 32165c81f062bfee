#include "calibrated_layer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/convert/plan.h"
#include "regroup/model/runtime.h"
#include "regroup/model/tensor_bytes.h"

namespace regroup {
namespace {

using at::Tensor;

Json to_json(const LayerReport& report) {
  const auto optional = [](const std::optional<double>& x) { return x ? Json(*x) : Json(); };
  return {{"order", report.order},
          {"key_residual", report.key_residual},
          {"value_residual", report.value_residual},
          {"closed", optional(report.closed)},
          {"refitted", optional(report.refitted)},
          {"fit_flops", report.fit_flops},
          {"trained", optional(report.trained)},
          {"steps", report.steps}};
}

LayerReport from_json(const Json& json, int64_t layer) {
  const auto optional = [&](const char* key) {
    return json.at(key).is_null() ? std::nullopt : std::optional(json.at(key).get<double>());
  };
  return {.layer = layer,
          .order = json.at("order").get<std::vector<int64_t>>(),
          .key_residual = json.at("key_residual").get<double>(),
          .value_residual = json.at("value_residual").get<double>(),
          .closed = optional("closed"),
          .refitted = optional("refitted"),
          .fit_flops = json.at("fit_flops").get<double>(),
          .trained = optional("trained"),
          .steps = json.at("steps").get<int64_t>()};
}

/// `values` rounded once to `dtype`.
std::string rounded(const Tensor& values, Dtype dtype, const std::string& name,
                    const std::string& model) {
  const Tensor wide = values.to(at::kCPU, at::kDouble).contiguous();
  std::string bytes(static_cast<size_t>(tensor_bytes(dtype, wide.sizes().vec())), '\0');
  const int64_t overflowed =
      round_to(dtype, std::span(wide.data_ptr<double>(), static_cast<size_t>(wide.numel())),
               std::as_writable_bytes(std::span(bytes)));
  if (overflowed > 0 || !wide.isfinite().all().item<bool>()) {
    throw CheckpointError(
        {.code = "VAL_OVERFLOW",
         .message = fmt::format("calibrated weights do not fit {}", dtype_name(dtype)),
         .path = model,
         .tensor = name,
         .hint = "choose `dtype` f32, or a smaller `layer-lr`"});
  }
  return bytes;
}

}  // namespace

LayerWeights with_attention(const LayerWeights& layer, const AttentionWeights& attention,
                            const ModelConfig& after) {
  LayerWeights out = layer;
  const int64_t hidden = after.hidden_size;
  const Tensor rows = at::cat({attention.q.flatten(0, 1), attention.k.flatten(0, 1),
                               attention.v.flatten(0, 1)});  // [(H + 2 G) d, hidden + 1]
  out.qkv = rows.narrow(1, 0, hidden).to(layer.qkv.options()).contiguous();
  if (layer.qkv_bias.defined()) {
    out.qkv_bias = rows.select(1, hidden).to(layer.qkv.options()).contiguous();
  }
  out.output = attention.o.permute({1, 0, 2})
                   .reshape({hidden, after.query_size()})
                   .to(layer.output.options())
                   .contiguous();
  if (after.attention.has_gains_of_heads()) {
    out.query_norm.weight = attention.q_gain.flatten().to(layer.query_norm.weight.options());
    out.key_norm.weight = attention.k_gain.flatten().to(layer.key_norm.weight.options());
  } else if (after.attention
                 .normalises_keys()) {  // rounded as what is written, where the parent's is not
    out.query_norm.weight = layer.query_norm.weight.clone();
    out.key_norm.weight = layer.key_norm.weight.clone();
  }
  return out;
}

Tensor through_layer(const ModelConfig& config, const LayerWeights& w, int64_t layer,
                     const Tensor& x, const RopeTables& rope) {
  const Tensor y = norm(x, w.input_norm, config.norm_eps);
  const Tensor added = attention_output(config, w, attention_heads(config, w, layer, y, rope));
  return after_attention(config, w, beside_attention(config, w, x, y).add(added));
}

void save_calibrated_layer(const std::string& path, const ModelFolder& model,
                           const std::string& dtype, const ModelConfig& after, int64_t layer,
                           const LayerWeights& weights, const LayerReport& report) {
  std::vector<TensorSpec> specs;
  std::string data;
  for (const Role role : kDecidedRoles) {
    const Tensor view = layer_view(weights, after, role);
    if (!view.defined()) continue;
    const std::string name = part_name(after, role, layer);
    const Dtype stored = target_dtype(dtype).value_or(model.dtype(tensor_name(after, role, layer)));
    specs.push_back({name, stored, view.sizes().vec()});
    data += rounded(view, stored, name, model.path());
  }
  const std::string prefix = make_safetensors_prefix(
      specs, {{"report", to_json(report).dump()}, {"sha256", sha256_of_text(data)}});
  write_file_atomically(path, prefix + data);
}

bool load_calibrated_layer(const std::string& path, const ModelConfig& after, int64_t layer,
                           LayerWeights& weights, LayerReport& report) {
  if (!path_exists(path)) return false;
  try {
    const SafetensorsFile file{InputFile(path)};
    std::string data(static_cast<size_t>(file.file().size() - file.table().data_begin), '\0');
    file.file().read(file.table().data_begin, std::as_writable_bytes(std::span(data)));
    const auto& metadata = file.table().metadata;
    const auto text = [&](const char* key) {
      const auto found = metadata.find(key);
      return found == metadata.end() ? std::string() : found->second;
    };
    if (text("sha256") != sha256_of_text(data)) return false;
    report = from_json(Json::parse(text("report")), layer);
    for (const Role role : kDecidedRoles) {
      const Tensor view = layer_view(weights, after, role);
      if (!view.defined()) continue;
      const TensorInfo* info = file.find(part_name(after, role, layer));
      if (info == nullptr || info->shape != view.sizes().vec()) return false;
      const Tensor stored = at::empty(info->shape, at::TensorOptions(to_scalar_type(info->dtype)));
      file.read(*info, 0, bytes_of(stored));
      view.copy_(stored);
    }
    return true;
  } catch (const CheckpointError&) {  // damaged: the layer is done again
    return false;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace regroup
