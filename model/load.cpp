#include "regroup/model/load.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <span>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/normal_stream.h"
#include "regroup/base/output_file.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/companions.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/model/runtime.h"
#include "regroup/model/tensor_bytes.h"

namespace regroup {
namespace {

Dtype from_scalar_type(at::ScalarType type) {
  return type == at::kBFloat16 ? Dtype::kBF16 : type == at::kHalf ? Dtype::kF16 : Dtype::kF32;
}

bool writes_into_residual(Role role) {
  return role == Role::kOutput || role == Role::kDown || role == Role::kExpertDown ||
         role == Role::kSharedDown;
}

bool is_norm(Role role) {
  return role == Role::kInputNorm || role == Role::kMlpNorm || role == Role::kFinalNorm ||
         role == Role::kQueryNorm || role == Role::kKeyNorm || role == Role::kAttentionNorm ||
         role == Role::kMlpOutNorm;
}

bool is_bias(Role role) {
  return role == Role::kInputNormBias || role == Role::kMlpNormBias ||
         role == Role::kFinalNormBias || role == Role::kQueryBias || role == Role::kKeyBias ||
         role == Role::kValueBias || role == Role::kQkvBias || role == Role::kOutputBias ||
         role == Role::kGateBias || role == Role::kUpBias || role == Role::kDownBias ||
         role == Role::kLmHeadBias;
}

/// One file of the output: what it holds, in order.
struct Shard {
  std::vector<TensorSpec> specs;
  std::vector<NamedWeight> weights;
  int64_t bytes = 0;
};

std::vector<Shard> split_shards(const Decoder& decoder, const SaveOptions& options) {
  std::vector<Shard> shards(1);
  for (const NamedWeight& weight : decoder.named_weights()) {
    const auto it = options.dtypes.find(weight.name);
    const Dtype dtype =
        it == options.dtypes.end() ? from_scalar_type(weight.view.scalar_type()) : it->second;
    const int64_t bytes = tensor_bytes(dtype, weight.view.sizes().vec());
    if (shards.back().bytes > 0 && shards.back().bytes + bytes > options.max_shard_bytes) {
      shards.emplace_back();
    }
    shards.back().specs.push_back({weight.name, dtype, weight.view.sizes().vec()});
    shards.back().weights.push_back(weight);
    shards.back().bytes += bytes;
  }
  return shards;
}

void write_shard(const std::string& path, const Shard& shard) {
  const std::string prefix = make_safetensors_prefix(shard.specs, {{"format", "pt"}});
  OutputFile file(path, static_cast<int64_t>(prefix.size()) + shard.bytes);
  file.write(prefix);
  for (size_t i = 0; i < shard.specs.size(); ++i) {
    const NamedWeight& weight = shard.weights[i];
    const at::Tensor host = weight.view.to(at::kCPU, to_scalar_type(shard.specs[i].dtype));
    file.write(bytes_of(as_stored(host, weight.parts).contiguous()));
  }
  file.sync_and_close();
}

}  // namespace

Decoder load_decoder(const ModelFolder& folder, at::ScalarType dtype, at::Device device) {
  Decoder decoder(folder.config(), dtype, device);
  for (const NamedWeight& weight : decoder.named_weights()) {
    throw_if_stopped(/*resumable=*/false);
    load_weight(folder, weight.name, weight.view, weight.parts);
  }
  return decoder;
}

void initialize_weights(Decoder& decoder, uint64_t seed) {
  const ModelConfig& config = decoder.config();
  const double depth = std::sqrt(2.0 * static_cast<double>(config.n_layers));
  for (const NamedWeight& weight : decoder.named_weights()) {
    if (is_norm(weight.role)) {
      weight.view.fill_(config.family->block.norm == Norm::kRmsOffset ? 0.0 : 1.0);
    } else if (is_bias(weight.role)) {
      weight.view.zero_();
    } else {
      const double scale =
          config.initializer_range / (writes_into_residual(weight.role) ? depth : 1.0);
      NormalStream normal(seed, weight.name);
      const at::Tensor values = at::empty(weight.view.sizes(), at::kFloat);
      for (float& value :
           std::span(values.data_ptr<float>(), static_cast<size_t>(values.numel()))) {
        value = static_cast<float>(scale * normal.next());
      }
      weight.view.copy_(values);
    }
  }
}

void save_weights(const Decoder& decoder, const SaveOptions& options) {
  const std::vector<Shard> shards = split_shards(decoder, options);
  if (shards.size() == 1) {
    write_shard(options.folder + "/model.safetensors", shards[0]);
    return;
  }
  Json map = Json::object();
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(options.folder + "/" + name, shards[i]);
    for (const TensorSpec& spec : shards[i].specs) map[spec.name] = name;
    total += shards[i].bytes;
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  write_file_atomically(options.folder + "/model.safetensors.index.json", index.dump(2) + "\n");
}

std::map<std::string, Dtype> stored_dtypes(const ModelFolder& folder) {
  std::map<std::string, Dtype> dtypes;
  for (const ExpectedTensor& tensor : folder.tensors()) {
    dtypes[tensor.name] = folder.dtype(tensor.name);
  }
  return dtypes;
}

void copy_companions(const std::string& model, const std::string& folder) {
  copy_companion_files(model, folder);
  write_file_atomically(folder + "/config.json", InputFile(model + "/config.json").read_all());
}

}  // namespace regroup
