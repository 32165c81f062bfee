// Tensors against the table: what is missing, of another shape or of another dtype, and which key of config.json
// explains it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "model_folder_names.h"
#include "regroup/base/error.h"
#include "regroup/base/words.h"
#include "tensor_check.h"

namespace regroup {
namespace {

/// The key of config.json that a dimension comes from.
std::string key_of(Dim dim, const ModelFamily& family) {
  const ConfigKeys& keys = family.keys;
  const ExpertRules& experts = family.experts;
  switch (dim) {
    case Dim::kVocab:
      return "vocab_size";
    case Dim::kHidden:
      return "hidden_size";
    case Dim::kQuery:
      return "num_attention_heads * head_dim";
    case Dim::kKv:
      return fmt::format("{} * head_dim", keys.kv_heads);
    case Dim::kQkv:
      return fmt::format("(num_attention_heads + 2 {}) * head_dim", keys.kv_heads);
    case Dim::kHeadDim:
      return "head_dim";
    case Dim::kHeads:
      return "num_attention_heads";
    case Dim::kKvHeads:
      return std::string(keys.kv_heads);
    case Dim::kIntermediate:
      return std::string(keys.intermediate);
    case Dim::kGateUp:
      return fmt::format("2 * {}", keys.intermediate);
    case Dim::kOne:
      return "1";
    case Dim::kExperts:
      return std::string(experts.count_key);
    case Dim::kExpertIntermediate:
      return std::string(experts.intermediate.empty() ? keys.intermediate : experts.intermediate);
    case Dim::kSharedIntermediate:
      return std::string(experts.shared);
    case Dim::kNone:
      break;
  }
  return {};
}

std::string keys_of(const TensorRule& rule, const ModelFamily& family) {
  std::vector<std::string> found;
  for (const Dim dim : rule.shape) {
    if (dim != Dim::kNone) found.push_back(key_of(dim, family));
  }
  return join(found, ", ");
}

class Disagreements {
 public:
  Disagreements(const TensorCheck& check, const TensorLocations& located,
                const std::set<std::string>& reported)
      : check_(check), config_(check.config), located_(located), explained_(reported) {}

  std::vector<ErrorInfo> find() {
    explain_layers();
    for (const Presence presence :
         {Presence::kQkvBias, Presence::kOutputBias, Presence::kMlpBias, Presence::kQkNorm}) {
      explain_absent(key_of(presence, *config_.family));
    }
    explain_dimensions();
    for (const ExpectedTensor& tensor : check_.expected) check(tensor);
    return std::move(problems_);
  }

 private:
  const TensorInfo* found(const ExpectedTensor& tensor) const {
    const auto it = located_.find(tensor.name);
    return it == located_.end() ? nullptr : it->second.info;
  }

  void add(const char* code, const std::string& message, const std::string& hint) {
    problems_.push_back(
        {.code = code, .message = message, .path = check_.config_path(), .hint = hint});
  }

  /// The last layers are missing whole: config.json promises more than there are.
  void explain_layers() {
    int64_t there = 0;
    for (const ExpectedTensor& tensor : check_.expected) {
      if (found(tensor) != nullptr) there = std::max(there, tensor.layer + 1);
    }
    if (there == 0 || there == config_.n_layers) return;
    add("CFG_TENSOR_MISSING",
        fmt::format("num_hidden_layers is {}, but the tensors are those of {} layer{}",
                    config_.n_layers, there, there == 1 ? "" : "s"),
        fmt::format("set num_hidden_layers to {} if the model has no more; otherwise fetch the "
                    "folder again",
                    there));
    for (const ExpectedTensor& tensor : check_.expected) {
      if (tensor.layer >= there) explained_.insert(tensor.name);
    }
  }

  /// Tensors that a key promises and no layer has.
  void explain_absent(const PresenceKey& promise) {
    const auto& [key, what] = promise;
    if (key.empty() || !may_explain_.insert(std::string(key)).second) return;
    std::vector<std::string> absent;
    for (const ExpectedTensor& tensor : check_.expected) {
      const bool promised = key_of(tensor.rule->presence, *config_.family).key == key;
      if (!promised || explained_.contains(tensor.name)) continue;
      if (found(tensor) != nullptr) return;
      absent.push_back(tensor.name);
    }
    if (absent.empty()) return;
    add("CFG_TENSOR_MISSING",
        fmt::format("{} is true, but there are no such {} ({}, ...)", key, what, absent.front()),
        fmt::format("set {} to false if the model has none; otherwise fetch the folder again",
                    key));
    explained_.insert(absent.begin(), absent.end());
  }

  /// All tensors that have a dimension agree on another size of it.
  void measure(Dim dim) {
    std::set<int64_t> sizes;
    for (const ExpectedTensor& tensor : check_.expected) {
      const TensorInfo* info = found(tensor);
      if (info == nullptr || info->shape.size() != tensor.shape.size()) continue;
      for (size_t axis = 0; axis < info->shape.size(); ++axis) {
        if (tensor.rule->shape[axis] != dim) continue;
        sizes.insert(info->shape[axis]);
        examples_.emplace(dim, &tensor);
      }
    }
    if (sizes.size() == 1 && *sizes.begin() != value_of(dim, config_))
      other_sizes_[dim] = *sizes.begin();
  }

  /// True if both are other than asked, by the same factor.
  bool go_together(Dim a, Dim b) const {
    if (!other_sizes_.contains(a) || !other_sizes_.contains(b)) return false;
    return other_sizes_.at(a) * value_of(b, config_) == other_sizes_.at(b) * value_of(a, config_);
  }

  void add_size(Dim dim, const std::string& key, int64_t asked, int64_t size) {
    const ExpectedTensor& tensor = *examples_.at(dim);
    add("CFG_TENSOR_SHAPE",
        fmt::format("{} is {}, but the tensors have {} ({} is [{}])", key, asked, size, tensor.name,
                    fmt::join(found(tensor)->shape, ", ")),
        "config.json and the weights belong to different models, or one is wrong");
  }

  void explain_dimensions() {
    for (const Dim dim : {Dim::kVocab, Dim::kHidden, Dim::kQuery, Dim::kKv, Dim::kIntermediate,
                          Dim::kExperts, Dim::kExpertIntermediate, Dim::kSharedIntermediate}) {
      measure(dim);
    }
    for (const auto& [dim, size] : other_sizes_) {
      const bool heads = dim == Dim::kQuery || dim == Dim::kKv;
      if (!heads) {
        add_size(dim, key_of(dim, *config_.family), value_of(dim, config_), size);
        continue;
      }
      if (go_together(dim, Dim::kHidden)) continue;  // head_dim follows from hidden_size
      const bool by_head_dim =
          go_together(Dim::kQuery, Dim::kKv) && other_sizes_.at(Dim::kQuery) % config_.n_heads == 0;
      if (by_head_dim && dim == Dim::kKv) continue;
      if (by_head_dim) {
        add_size(dim, "head_dim", config_.head_dim, size / config_.n_heads);
      } else if (size % config_.head_dim == 0) {
        add_size(
            dim,
            dim == Dim::kKv ? std::string(config_.family->keys.kv_heads) : "num_attention_heads",
            value_of(dim, config_) / config_.head_dim, size / config_.head_dim);
      } else {
        add_size(dim, key_of(dim, *config_.family), value_of(dim, config_), size);
      }
    }
  }

  void check(const ExpectedTensor& tensor) {
    if (explained_.contains(tensor.name)) return;
    const TensorInfo* info = found(tensor);
    if (info == nullptr) return add_missing(tensor);
    const std::string& path = check_.shard_paths[located_.at(tensor.name).shard];
    if (info->shape != shape_in_files(tensor)) {
      problems_.push_back(
          {.code = "CFG_TENSOR_SHAPE",
           .message = fmt::format(
               "config.json asks for shape [{}] ({}), found [{}]", fmt::join(tensor.shape, ", "),
               keys_of(*tensor.rule, *config_.family), fmt::join(info->shape, ", ")),
           .path = path,
           .tensor = tensor.name,
           .hint = "config.json and the weights belong to different models, or one is wrong"});
    }
    if (!is_weight_dtype(info->dtype)) {
      problems_.push_back({.code = "CFG_TENSOR_DTYPE",
                           .message = fmt::format("must be F16, BF16, F32 or F64, found {}",
                                                  dtype_name(info->dtype)),
                           .path = path,
                           .tensor = tensor.name,
                           .hint = "convert the unquantized model, then quantize the result"});
    }
  }

  void add_missing(const ExpectedTensor& tensor) {
    const bool head = tensor.rule->role == Role::kLmHead;
    problems_.push_back(
        {.code = head ? "CFG_TIE" : "CFG_TENSOR_MISSING",
         .message =
             head ? fmt::format("must be there (shape [{}]), but is missing, where config.json has "
                                "tie_word_embeddings false",
                                fmt::join(tensor.shape, ", "))
                  : fmt::format("must be there (shape [{}]), but is missing",
                                fmt::join(tensor.shape, ", ")),
         .path = check_.missing_from,
         .tensor = tensor.name,
         .hint = head ? "set tie_word_embeddings to true in config.json if the embedding is its "
                        "output layer too"
                      : kFetchAgain});
  }

  /// The table's shape, with the sizes that the tensors agree on.
  std::vector<int64_t> shape_in_files(const ExpectedTensor& tensor) const {
    std::vector<int64_t> shape = tensor.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const auto other = other_sizes_.find(tensor.rule->shape[axis]);
      if (other != other_sizes_.end()) shape[axis] = other->second;
    }
    return shape;
  }

  const TensorCheck& check_;
  const ModelConfig& config_;
  const TensorLocations& located_;
  std::set<std::string> explained_;     // tensors that need no problem of their own any more
  std::set<std::string> may_explain_;   // keys that were looked at
  std::map<Dim, int64_t> other_sizes_;  // where the tensors agree on another one
  std::map<Dim, const ExpectedTensor*> examples_;
  std::vector<ErrorInfo> problems_;
};

}  // namespace

std::vector<ErrorInfo> find_disagreements(const TensorCheck& check, const TensorLocations& located,
                                          const std::set<std::string>& reported) {
  return Disagreements(check, located, reported).find();
}

}  // namespace regroup
