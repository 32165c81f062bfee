#include "statistics.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <span>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/model/tensor_bytes.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr const char* kFormat = "regroup-statistics/1";

std::string moment_name(size_t layer) { return fmt::format("layers.{}.moment", layer); }
std::string norm_name(size_t layer) { return fmt::format("layers.{}.head_norm", layer); }

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint) {
  throw CheckpointError({.code = code, .message = message, .path = path, .hint = hint});
}

Tensor read_tensor(const SafetensorsFile& file, const std::string& name,
                   const std::vector<int64_t>& shape) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr || info->dtype != Dtype::kF64 || info->shape != shape) {
    refuse("STATS_FORMAT", file.path(),
           fmt::format("must hold {} as F64 with shape [{}]", name, fmt::join(shape, ", ")),
           "make the statistics again with `save-statistics`");
  }
  const Tensor out = at::empty(shape, at::kDouble);
  file.read(*info, 0, bytes_of(out));
  if (!out.isfinite().all().item<bool>()) {
    refuse("STATS_FORMAT", file.path(), fmt::format("{} must be finite", name),
           "make the statistics again with `save-statistics`");
  }
  return out;
}

/// A file that is no safetensors file at all is another file than the one that was meant.
SafetensorsFile open_statistics(const std::string& path) {
  try {
    return SafetensorsFile(InputFile(path));
  } catch (const CheckpointError& error) {
    const std::string& code = error.info().code;
    for (const char* other : {"ST_TOO_SHORT", "ST_HEADER_TOO_LARGE", "ST_HEADER_PAST_EOF",
                              "ST_JSON_SYNTAX", "ST_HEADER_NOT_OBJECT"}) {
      if (code != other) continue;
      refuse("STATS_FORMAT", path,
             "must be a statistics file of regroup, found another kind of file, or one cut "
             "short",
             "name a file made with `save-statistics`, or leave out `statistics`");
    }
    throw;
  }
}

}  // namespace

LayerStatistics weights_only_statistics(const NormWeights& input_norm, int64_t hidden_size) {
  const Tensor one = at::ones({1}, at::kDouble);
  if (!input_norm.weight.defined()) return {at::ones({hidden_size + 1}, at::kDouble), {}};
  const Tensor gains = input_norm.gains().to(at::kCPU, at::kDouble).square();
  if (!input_norm.bias.defined()) return {at::cat({gains, one}), {}};
  const Tensor mean = at::cat({input_norm.bias.to(at::kCPU, at::kDouble), one});  // [hidden + 1]
  return {at::diag(at::cat({gains, one.mul(0)})).addr_(mean, mean), {}};
}

MomentAccumulator::MomentAccumulator(int64_t hidden_size)
    : sum_(at::zeros({hidden_size + 1, hidden_size + 1}, at::kDouble)) {}

void MomentAccumulator::add(const Tensor& x) {
  const int64_t d = sum_.size(0) - 1;
  if (tokens_ == 0) sum_ = at::zeros(sum_.sizes(), sum_.options().device(x.device()));
  const Tensor rows = x.reshape({-1, d});
  sum_.narrow(0, 0, d).narrow(1, 0, d).add_(at::mm(rows.t(), rows).to(at::kDouble));
  const Tensor total = rows.sum(0, /*keepdim=*/false, at::kDouble);
  sum_.select(0, d).narrow(0, 0, d).add_(total);
  sum_.select(1, d).narrow(0, 0, d).add_(total);
  sum_.select(0, d).select(0, d).add_(rows.size(0));
  tokens_ += rows.size(0);
}

Tensor MomentAccumulator::mean() const {
  const Tensor sum = sum_.to(at::kCPU);
  const Tensor symmetric = sum.add(sum.t()).mul(0.5);
  return symmetric.div(static_cast<double>(std::max<int64_t>(1, tokens_)));
}

void save_statistics(const std::string& path, const std::vector<LayerStatistics>& layers,
                     const StatisticsOrigin& origin) {
  std::vector<TensorSpec> specs;
  std::vector<Tensor> tensors;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const auto put = [&](const std::string& name, const Tensor& tensor) {
      specs.push_back({name, Dtype::kF64, tensor.sizes().vec()});
      tensors.push_back(tensor.contiguous());
    };
    put(moment_name(layer), layers[layer].moment);
    if (layers[layer].head_norm.defined()) put(norm_name(layer), layers[layer].head_norm);
  }
  std::string bytes = make_safetensors_prefix(specs, {{"format", kFormat},
                                                      {"model_sha256", origin.model_sha256},
                                                      {"tokens", std::to_string(origin.tokens)}});
  for (const Tensor& tensor : tensors) {
    bytes.append(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
  }
  write_file_atomically(path, bytes);
}

std::vector<LayerStatistics> load_statistics(const std::string& path, const ModelConfig& config,
                                             const std::string& model_sha256) {
  const SafetensorsFile file = open_statistics(path);
  const auto& metadata = file.table().metadata;
  const auto value = [&](const char* key) {
    const auto it = metadata.find(key);
    return it == metadata.end() ? std::string() : it->second;
  };
  if (value("format") != kFormat) {
    refuse("STATS_FORMAT", path,
           fmt::format("must be a file of `save-statistics` (format {}), found format {}", kFormat,
                       printable(value("format"))),
           "make the statistics again with `save-statistics`");
  }
  if (value("model_sha256") != model_sha256) {
    refuse("STATS_MODEL", path,
           fmt::format("holds statistics of another model (SHA-256 {}) than the one given ({})",
                       printable(value("model_sha256"), 64), model_sha256),
           "make the statistics of this model with `calibration` and `save-statistics`");
  }
  std::vector<LayerStatistics> layers(static_cast<size_t>(config.n_layers));
  const int64_t side = config.hidden_size + 1;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    layers[layer].moment = read_tensor(file, moment_name(layer), {side, side});
    if (file.find(norm_name(layer)) != nullptr) {
      layers[layer].head_norm = read_tensor(file, norm_name(layer), {config.n_heads});
    }
  }
  return layers;
}

}  // namespace regroup
