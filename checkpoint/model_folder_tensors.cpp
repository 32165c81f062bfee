// What the shards hold against what the index and the family's table say they hold.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "model_folder_names.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "tensor_check.h"

namespace regroup {
namespace {

/// "bfloat16" -> BF16, as transformers spells them; nothing for another word.
std::optional<Dtype> torch_dtype(const std::string& word) {
  if (word == "bfloat16") return Dtype::kBF16;
  if (word == "float16") return Dtype::kF16;
  if (word == "float32") return Dtype::kF32;
  if (word == "float64") return Dtype::kF64;
  return std::nullopt;
}

/// A scale of a quantized KV cache, as vLLM and its quantizers name it. They are no weights: no other tensor
/// is read through them.
bool is_cache_scale(const std::string& name) {
  if (name.find(".self_attn.") == std::string::npos) return false;
  constexpr auto kEnds = std::to_array<std::string_view>(
      {".k_scale", ".v_scale", ".kv_scale", ".q_scale", ".prob_scale", ".prob_output_scale",
       ".output_scale", ".k_zero_point", ".v_zero_point"});
  return std::any_of(kEnds.begin(), kEnds.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

}  // namespace

void ModelFolder::check_tensors() {
  std::vector<ErrorInfo> problems;
  const TensorLocations files = find_tensors(problems);
  TensorCheck check{.folder = path_,
                    .config = config_,
                    .expected = tensors_,
                    .files = files,
                    .missing_from = path_ + "/" + (has_index_ ? format_->index : format_->single),
                    .shard_paths = {}};
  std::vector<std::map<std::string, std::string>> metadata;
  for (const auto& shard : shards_) {
    check.shard_paths.push_back(shard->path());
    metadata.push_back(shard->table().metadata);
  }
  NameMatch match = match_names(check, metadata);
  if (problems.empty()) refuse_foreign_names(check, match.located);
  std::set<std::string> reported;
  for (const ErrorInfo& problem : problems) reported.insert(problem.tensor);
  const auto disagreements = find_disagreements(check, match.located, reported);
  problems.insert(problems.end(), disagreements.begin(), disagreements.end());
  locations_ = std::move(match.located);
  notices_.insert(notices_.end(), match.notices.begin(), match.notices.end());
  note_dtypes();
  const auto unexpected = explain_unexpected(check, drop_unused(files));
  problems.insert(problems.end(), unexpected.begin(), unexpected.end());
  throw_all(path_, group_problems(problems));
}

TensorLocations ModelFolder::find_tensors(std::vector<ErrorInfo>& problems) const {
  TensorLocations files;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const TensorInfo& info : shards_[shard]->tensors()) {
      const std::string& shard_path = shards_[shard]->path();
      if (!files.emplace(info.name, TensorLocation{shard, &info}).second) {
        problems.push_back({.code = "IDX_TENSOR_DUPLICATE",
                            .message = "stands in two shards",
                            .path = shard_path,
                            .tensor = info.name,
                            .hint = kIndexStale});
      } else if (has_index_ && !weight_map_.contains(info.name)) {
        problems.push_back({.code = "IDX_TENSOR_EXTRA",
                            .message = fmt::format("is missing from {}", format_->index),
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
    if (files.contains(name)) continue;
    problems.push_back(
        {.code = "IDX_TENSOR_MISSING",
         .message = fmt::format("listed for {}, which does not hold it", printable(file)),
         .path = path_ + "/" + format_->index,
         .tensor = name,
         .hint = kIndexStale});
  }
  return files;
}

void ModelFolder::note_dtypes() {
  const auto count = [&](Dtype dtype) {
    return std::count_if(locations_.begin(), locations_.end(),
                         [&](const auto& tensor) { return tensor.second.info->dtype == dtype; });
  };
  const auto declared = torch_dtype(config_.dtype);
  if (!config_.dtype.empty() && (!declared || count(*declared) == 0)) {
    notices_.push_back(
        fmt::format("{}/config.json: no tensor is {}, as its dtype says; the tensors' "
                    "own dtypes count",
                    path_, printable(config_.dtype)));
  }
  if (const auto doubles = count(Dtype::kF64); doubles > 0) {
    notices_.push_back(fmt::format("{}: {} tensor{} F64, cast down to F32", path_, doubles,
                                   doubles == 1 ? " is" : "s are"));
  }
}

bool ModelFolder::same_bytes(TensorLocation a, TensorLocation b) const {
  if (a.info->dtype != b.info->dtype || a.info->shape != b.info->shape) return false;
  constexpr int64_t kAtOnce = 1 << 20;
  std::vector<std::byte> ours(kAtOnce);
  std::vector<std::byte> theirs(kAtOnce);
  for (int64_t at = 0; at < a.info->bytes(); at += kAtOnce) {
    const auto n = static_cast<size_t>(std::min(kAtOnce, a.info->bytes() - at));
    shards_[a.shard]->read(*a.info, at, std::span(ours).first(n));
    shards_[b.shard]->read(*b.info, at, std::span(theirs).first(n));
    if (!std::equal(ours.begin(), ours.begin() + static_cast<int64_t>(n), theirs.begin())) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> ModelFolder::drop_unused(const TensorLocations& files) {
  std::set<const TensorInfo*> used;
  for (const auto& [name, location] : locations_) used.insert(location.info);
  std::vector<std::string> unexpected;
  std::vector<std::string> scales;
  int64_t ignored = 0;
  for (const auto& [name, location] : files) {
    if (used.contains(location.info)) continue;
    const auto embedding = locations_.find(tensor_name(config_, Role::kEmbedding));
    const bool head =
        config_.tie_word_embeddings && name == rule_name(*config_.family, Role::kLmHead);
    if (is_ignored(*config_.family, name)) {
      ++ignored;
    } else if (is_cache_scale(name)) {
      scales.push_back(name);
    } else if (head && embedding != locations_.end() && same_bytes(location, embedding->second)) {
      notices_.push_back(fmt::format(
          "{}: {} is a copy of the embedding it is tied to, and left out", path_, name));
    } else {
      unexpected.push_back(name);
    }
  }
  if (ignored > 0) {
    notices_.push_back(
        fmt::format("{}: {} buffers of RoPE or masks ignored; they follow from "
                    "config.json",
                    path_, ignored));
  }
  if (!scales.empty()) {
    warnings_.push_back(
        fmt::format("{}: {} scales of a quantized KV cache ({}, ...) are left out: merged heads "
                    "need new scales; "
                    "calibrate the cache of the result anew",
                    path_, scales.size(), printable(scales.front())));
  }
  return unexpected;
}

}  // namespace regroup
