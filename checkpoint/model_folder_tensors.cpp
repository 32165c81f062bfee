// What the shards hold against what the index and the family's table say they hold.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "model_folder_names.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

/// "bfloat16" -> BF16, as transformers spells them; nothing for another word.
std::optional<Dtype> torch_dtype(const std::string& word) {
  if (word == "bfloat16") return Dtype::kBF16;
  if (word == "float16") return Dtype::kF16;
  if (word == "float32") return Dtype::kF32;
  return std::nullopt;
}

}  // namespace

void ModelFolder::check_tensors() {
  std::vector<ErrorInfo> problems;
  locate_tensors(problems);
  check_expected(problems);
  note_declared_dtype();
  check_unexpected(problems);
  throw_all(path_, problems);
}

void ModelFolder::locate_tensors(std::vector<ErrorInfo>& problems) {
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const TensorInfo& info : shards_[shard]->tensors()) {
      const std::string& shard_path = shards_[shard]->path();
      if (!locations_.emplace(info.name, TensorLocation{shard, &info}).second) {
        problems.push_back({.code = "IDX_TENSOR_DUPLICATE",
                            .message = "stands in two shards",
                            .path = shard_path,
                            .tensor = info.name,
                            .hint = kIndexStale});
      } else if (has_index_ && !weight_map_.contains(info.name)) {
        problems.push_back({.code = "IDX_TENSOR_EXTRA",
                            .message = fmt::format("is missing from {}", kIndex),
                            .path = shard_path,
                            .tensor = info.name,
                            .hint = kIndexStale});
      } else if (has_index_ && weight_map_.at(info.name) != shard_names_[shard]) {
        problems.push_back({.code = "IDX_TENSOR_MISSING",
                            .message = fmt::format("the index says {}, found here",
                                                   printable(weight_map_.at(info.name))),
                            .path = shard_path,
                            .tensor = info.name,
                            .hint = kIndexStale});
      }
    }
  }
  for (const auto& [name, file] : weight_map_) {
    if (locations_.contains(name)) continue;
    problems.push_back(
        {.code = "IDX_TENSOR_MISSING",
         .message = fmt::format("listed for {}, which does not hold it", printable(file)),
         .path = path_ + "/" + kIndex,
         .tensor = name,
         .hint = kIndexStale});
  }
}

void ModelFolder::check_expected(std::vector<ErrorInfo>& problems) const {
  const std::string where = has_index_ ? path_ + "/" + kIndex : path_ + "/" + kSingle;
  for (const ExpectedTensor& tensor : tensors_) {
    const auto it = locations_.find(tensor.name);
    if (it == locations_.end()) {
      const bool head = tensor.rule->role == Role::kLmHead;
      problems.push_back(
          {.code = head ? "CFG_TIE" : "CFG_TENSOR_MISSING",
           .message = fmt::format("must be there (shape [{}]), but is missing",
                                  fmt::join(tensor.shape, ", ")),
           .path = where,
           .tensor = tensor.name,
           .hint = head ? "set tie_word_embeddings to true in config.json if the embedding is its "
                          "output layer too"
                        : kFetchAgain});
      continue;
    }
    const TensorInfo& info = *it->second.info;
    const std::string& shard_path = shards_[it->second.shard]->path();
    if (info.shape != tensor.shape) {
      problems.push_back(
          {.code = "CFG_TENSOR_SHAPE",
           .message = fmt::format("config.json asks for shape [{}], found [{}]",
                                  fmt::join(tensor.shape, ", "), fmt::join(info.shape, ", ")),
           .path = shard_path,
           .tensor = tensor.name,
           .hint = "config.json and the weights belong to different models, or one is wrong"});
    }
    if (!is_weight_dtype(info.dtype)) {
      problems.push_back(
          {.code = "CFG_TENSOR_DTYPE",
           .message = fmt::format("must be F16, BF16 or F32, found {}", dtype_name(info.dtype)),
           .path = shard_path,
           .tensor = tensor.name,
           .hint = "convert the unquantized model, then quantize the result"});
    }
  }
}

void ModelFolder::note_declared_dtype() {
  const bool as_declared = std::any_of(
      locations_.begin(), locations_.end(),
      [&](const auto& tensor) { return tensor.second.info->dtype == torch_dtype(config_.dtype); });
  if (!config_.dtype.empty() && !as_declared) {
    notices_.push_back(
        fmt::format("{}/config.json: no tensor is {}, as its dtype says; the tensors' "
                    "own dtypes count",
                    path_, printable(config_.dtype)));
  }
}

bool ModelFolder::same_bytes(const std::string& a, const std::string& b) const {
  const auto first = locations_.find(a);
  const auto second = locations_.find(b);
  if (first == locations_.end() || second == locations_.end()) return false;
  const TensorInfo& info = *first->second.info;
  const TensorInfo& other = *second->second.info;
  if (info.dtype != other.dtype || info.shape != other.shape) return false;
  constexpr int64_t kAtOnce = 1 << 20;
  std::vector<std::byte> ours(kAtOnce);
  std::vector<std::byte> theirs(kAtOnce);
  for (int64_t at = 0; at < info.bytes(); at += kAtOnce) {
    const auto n = static_cast<size_t>(std::min(kAtOnce, info.bytes() - at));
    shards_[first->second.shard]->read(info, at, std::span(ours).first(n));
    shards_[second->second.shard]->read(other, at, std::span(theirs).first(n));
    if (!std::equal(ours.begin(), ours.begin() + static_cast<int64_t>(n), theirs.begin())) {
      return false;
    }
  }
  return true;
}

void ModelFolder::check_unexpected(std::vector<ErrorInfo>& problems) {
  std::set<std::string> expected_names;
  for (const ExpectedTensor& tensor : tensors_) expected_names.insert(tensor.name);
  int64_t ignored = 0;
  for (const auto& [name, location] : locations_) {
    if (expected_names.contains(name)) continue;
    if (is_ignored(*config_.family, name)) {
      ++ignored;
      continue;
    }
    const bool tied = config_.tie_word_embeddings && name == "lm_head.weight";
    if (tied && same_bytes(name, tensor_name(config_, Role::kEmbedding))) {
      notices_.push_back(fmt::format(
          "{}: {} is a copy of the embedding it is tied to, and left out", path_, name));
      continue;
    }
    problems.push_back(
        {.code = tied ? "CFG_TIE" : "CFG_TENSOR_UNEXPECTED",
         .message = tied ? "must be absent, or a copy of the embedding, when config.json has "
                           "tie_word_embeddings true"
                         : fmt::format("is no tensor of {}", config_.architecture),
         .path = shards_[location.shard]->path(),
         .tensor = name,
         .hint = tied ? "transformers 4.x ties and drops it, 5.x does not; remove it, or set "
                        "tie_word_embeddings to false"
                      : "check model_type in config.json, or remove the tensor"});
  }
  if (ignored > 0) {
    notices_.push_back(
        fmt::format("{}: {} rotary frequency buffers ignored; they follow from "
                    "config.json",
                    path_, ignored));
  }
}

}  // namespace regroup
