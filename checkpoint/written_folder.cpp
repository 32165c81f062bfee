// A folder read as one of another class: what conversions of models whose class shares no KV heads begin with.
#include <algorithm>

#include "made_tensors.h"
#include "written_family.h"

namespace regroup {
namespace {

/// The norm that a projection reads, and the weights that a bias belongs to.
struct Reader {
  Role weight;
  Role bias;
  Role norm;
  Role norm_bias;
};

constexpr Reader kReaders[] = {
    {Role::kQuery, Role::kQueryBias, Role::kInputNorm, Role::kInputNormBias},
    {Role::kKey, Role::kKeyBias, Role::kInputNorm, Role::kInputNormBias},
    {Role::kValue, Role::kValueBias, Role::kInputNorm, Role::kInputNormBias},
    {Role::kGate, Role::kGateBias, Role::kMlpNorm, Role::kMlpNormBias},
    {Role::kUp, Role::kUpBias, Role::kMlpNorm, Role::kMlpNormBias},
};

/// Says what each tensor of the written class is made of.
class Maker {
 public:
  using Locations = std::map<std::string, TensorLocation>;
  Maker(const ModelConfig& stored, const ModelConfig& written, const Locations& locations)
      : stored_(stored),
        locations_(locations),
        folds_(stored.own_mlp_norm && !written.own_mlp_norm) {}

  MadeTensor make(const ExpectedTensor& tensor) const {
    const Role role = tensor.rule->role;
    std::optional<StoredRows> rows = find(role, tensor.layer);
    const Dtype kept = rows ? kept_dtype(rows->tensor.info->dtype) : usual_dtype();
    MadeTensor made{.info = {.name = tensor.name, .shape = tensor.shape}, .kept = kept};
    const bool norm = role == Role::kInputNorm || role == Role::kInputNormBias;
    if (folds_ && norm) {
      // What this norm did is in the projections that read it: gains of 1 and biases of 0 are left.
      made.constant = role == Role::kInputNorm ? 1.0F : 0.0F;
    } else {
      if (folds_) fold_norm(role, tensor.layer, made);
      made.rows = rows;
    }
    const TensorInfo& source = *source_of(made).info;
    made.info.dtype = made.is_computed() ? Dtype::kF32 : source.dtype;
    made.info.begin = source.begin;
    made.info.end = made.info.begin + tensor_bytes(made.info.dtype, tensor.shape);
    return made;
  }

  /// Where a tensor lies; nullopt unless one file holds it as it is.
  std::optional<TensorLocation> whole(const ExpectedTensor& tensor, const MadeTensor& made) const {
    if (made.is_computed()) return std::nullopt;
    const TensorLocation& from = made.rows->tensor;
    return from.info->shape == tensor.shape ? std::optional(from) : std::nullopt;
  }

  /// What it is mainly made of: its place among the others follows from that.
  const TensorLocation& source_of(const MadeTensor& made) const {
    if (made.rows) return made.rows->tensor;
    return made.matrix ? made.matrix->tensor : any();
  }

 private:
  std::optional<StoredRows> find(Role role, int64_t layer) const {
    const std::optional<PartPlace> place = find_part(stored_, role, layer);
    if (!place) return std::nullopt;
    return StoredRows{locations_.at(place->tensor), place->rows};
  }

  void fold_norm(Role role, int64_t layer, MadeTensor& made) const {
    for (const Reader& reader : kReaders) {
      if (role == reader.weight) made.gains = find(reader.norm, layer)->tensor;
      if (role != reader.bias) continue;
      made.matrix = find(reader.weight, layer);
      made.shift = find(reader.norm_bias, layer)->tensor;
    }
  }

  const TensorLocation& any() const {
    return locations_.at(tensor_name(stored_, Role::kEmbedding));
  }
  Dtype usual_dtype() const { return kept_dtype(any().info->dtype); }

  const ModelConfig& stored_;
  const Locations& locations_;
  bool folds_;
};

}  // namespace

ModelFolder ModelFolder::open_as_written(const std::string& path) {
  ModelFolder folder = open(path);
  const ModelFamily& written = written_family(folder.config_, path + "/config.json");
  if (&written != folder.config_.family) folder.make_written();
  return folder;
}

void ModelFolder::make_written() {
  stored_config_ = config_;
  config_ = written_config(*stored_config_);
  tensors_ = expected_tensors(config_);
  const Maker maker(*stored_config_, config_, locations_);
  auto made = std::make_shared<MadeTensors>();
  std::map<std::string, TensorLocation> written;
  for (const ExpectedTensor& tensor : tensors_) {
    MadeTensor recipe = maker.make(tensor);
    if (const auto place = maker.whole(tensor, recipe)) {
      written.emplace(tensor.name, *place);
      continue;
    }
    const size_t shard = maker.source_of(recipe).shard;
    written.emplace(tensor.name, TensorLocation{shard, &made->add(std::move(recipe)).info});
  }
  locations_ = std::move(written);
  made_ = std::move(made);
}

std::string ModelFolder::written_config_text() const {
  return rename_class(stored_config(), config_text_, path_ + "/config.json");
}

bool ModelFolder::is_stored(const std::string& name) const {
  return made_ == nullptr || made_->find(name) == nullptr;
}

bool ModelFolder::is_computed(const std::string& name) const {
  const MadeTensor* made = made_ ? made_->find(name) : nullptr;
  return made != nullptr && made->is_computed();
}

int64_t ModelFolder::bytes_of(const std::string& name) const {
  const TensorInfo& info = *locate(name).info;
  return is_computed(name) ? tensor_bytes(dtype(name), info.shape) : info.bytes();
}

Dtype ModelFolder::dtype(const std::string& name) const {
  const MadeTensor* made = made_ ? made_->find(name) : nullptr;
  return made != nullptr ? made->kept : kept_dtype(locate(name).info->dtype);
}

}  // namespace regroup
