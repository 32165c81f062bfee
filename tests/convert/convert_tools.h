#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "dense_fold.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/convert/plan.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {

inline ConvertResult convert(const std::string& model, const std::string& out, int64_t n_kv_heads,
                             ConvertOptions options = {.method = Method::kMean},
                             const ProgressFunction& progress = {}) {
  options.model = model;
  options.out = out;
  options.n_kv_heads = n_kv_heads;
  const ModelFolder folder = ModelFolder::open(model);
  return execute_conversion(folder, plan_conversion(folder, options), options, progress);
}

inline ConvertResult convert_by(const std::vector<LayerTransform>& transforms,
                                const std::string& model, const std::string& out,
                                int64_t n_kv_heads) {
  const ConvertOptions options{
      .model = model, .out = out, .n_kv_heads = n_kv_heads, .method = Method::kMean};
  const ModelFolder folder = ModelFolder::open(model);
  ConversionPlan plan = plan_conversion(folder, options);
  settle(plan, folder, {.transforms = transforms});
  OutputFolder output = open_output(folder, options);
  return execute_conversion(folder, plan, options, {}, output, &dense_fold());
}

inline std::pair<ConversionPlan, ConvertResult> plan_and_convert(
    const ModelFolder& model, const ConvertOptions& options, const ConvertProgress& progress = {}) {
  return convert_model(model, options, plan_conversion(model, options), progress);
}

/// The bytes of a tensor as the folder stores them.
inline std::string stored_bytes(const std::string& folder, const std::string& name) {
  const ModelFolder model = ModelFolder::open(folder);
  std::string bytes(static_cast<size_t>(model.locate(name).info->bytes()), '\0');
  model.read(name, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

inline std::vector<double> stored_values(const std::string& folder, const std::string& name) {
  const Dtype dtype = ModelFolder::open(folder).locate(name).info->dtype;
  const std::string bytes = stored_bytes(folder, name);
  std::vector<double> values(bytes.size() * 8 / static_cast<size_t>(dtype_bits(dtype)));
  widen(dtype, std::as_bytes(std::span(bytes)), values);
  return values;
}

/// Writes the tiny model of `spec` with the values of some tensors given by hand.
inline void write_model_with(const std::string& folder, const TinyModelSpec& spec,
                             const std::map<std::string, std::vector<double>>& given) {
  write_tiny_model(folder, spec);
  std::vector<TensorData> tensors = tiny_tensors(spec);
  for (TensorData& tensor : tensors) {
    const auto it = given.find(tensor.spec.name);
    if (it != given.end()) tensor.bytes = encode_values(spec.dtype, it->second);
  }
  write_tensors(folder, tensors, spec.n_shards);
}

/// "q_proj.weight" of layer 0 -> its whole name.
inline std::string in_layer_0(const std::string& name) {
  return "model.layers.0.self_attn." + name;
}

}  // namespace regroup::testing
