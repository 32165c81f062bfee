#include "regroup/checkpoint/model_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "regroup/checkpoint/digest.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/strict_json.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kFetchAgain = "the download may be incomplete; fetch the folder again";
constexpr const char* kIndexStale = "the index belongs to other shards; fetch the folder again";
constexpr std::array<const char*, 2> kPickles = {"pytorch_model.bin",
                                                 "pytorch_model.bin.index.json"};

std::vector<std::string> safetensors_names(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    // Also "Model-...", which another file system would take for the same file.
    const bool model = ::strncasecmp(name.c_str(), "model", 5) == 0;
    if (model && name.ends_with(".safetensors")) names.push_back(name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

[[noreturn]] void no_weights(const std::string& path) {
  for (const char* pickle : kPickles) {
    if (!path_exists(path + "/" + pickle)) continue;
    throw UnsupportedError({.code = "PICKLE_REFUSED",
                            .message = fmt::format("must hold safetensors files, found {}", pickle),
                            .path = path,
                            .tensor = {},
                            .hint =
                                "pickled weights can run code; convert them to safetensors on a "
                                "machine you can afford to lose"});
  }
  const auto stray = safetensors_names(path);
  if (stray.empty()) {
    throw CheckpointError(
        {.code = "MODEL_NO_WEIGHTS",
         .message = fmt::format("must hold {} or {}, found neither", kSingle, kIndex),
         .path = path,
         .tensor = {},
         .hint = kFetchAgain});
  }
  throw CheckpointError({.code = "IDX_MISSING",
                         .message = fmt::format("must hold {} beside the {} shards found ({}, ...)",
                                                kIndex, stray.size(), printable(stray.front())),
                         .path = path,
                         .tensor = {},
                         .hint = kFetchAgain});
}

/// "00025..00029": the runs of missing shard numbers say more than a list of 300 names.
std::string summarize(const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  std::vector<std::string> shown(names.begin(),
                                 names.begin() + static_cast<long>(std::min(kShown, names.size())));
  for (std::string& name : shown) name = printable(name);
  std::string text = join(shown, ", ");
  if (names.size() > kShown) text += fmt::format(" ... {}", printable(names.back()));
  return text;
}

/// "bfloat16" -> BF16, as transformers spells them; nothing for another word.
std::optional<Dtype> torch_dtype(const std::string& word) {
  if (word == "bfloat16") return Dtype::kBF16;
  if (word == "float16") return Dtype::kF16;
  if (word == "float32") return Dtype::kF32;
  return std::nullopt;
}

/// What a config.json asks for that is never done.
void note_custom_code(const std::string& config_text, const std::string& path,
                      std::vector<std::string>& notices) {
  const Json root = parse_strict_json(config_text, path, kConfigJson);
  for (const char* key : {"auto_map", "custom_pipelines"}) {
    if (root.contains(key)) {
      notices.push_back(fmt::format("{}: \"{}\" ignored; custom code is never run", path, key));
    }
  }
}

}  // namespace

void require_model_folder(const std::string& path) {
  if (!path_exists(path)) {
    throw CheckpointError({.code = "MODEL_MISSING",
                           .message =
                               "must be a folder with config.json and safetensors files, but "
                               "does not exist",
                           .path = path,
                           .tensor = {},
                           .hint = "check the spelling of the path"});
  }
  if (!is_folder(path)) {
    throw CheckpointError({.code = "MODEL_NOT_FOLDER",
                           .message =
                               "must be a folder with config.json and safetensors files, found "
                               "a file",
                           .path = path,
                           .tensor = {},
                           .hint = "pass the folder that holds the file"});
  }
}

ModelFolder ModelFolder::open(const std::string& path) {
  require_model_folder(path);
  ModelFolder folder;
  folder.path_ = path;
  const std::string config_path = path + "/config.json";
  folder.config_ = read_model_config(config_path);
  folder.config_text_ = InputFile(config_path).read_all();
  note_custom_code(folder.config_text_, config_path, folder.notices_);
  folder.tensors_ = expected_tensors(folder.config_);
  folder.open_shards();
  folder.check_tensors();
  return folder;
}

void ModelFolder::open_shards() {
  const bool single = path_exists(path_ + "/" + kSingle);
  has_index_ = path_exists(path_ + "/" + kIndex);
  std::vector<ErrorInfo> problems;
  const auto present = safetensors_names(path_);
  if (single) {
    const auto shard = std::find_if(present.begin(), present.end(), [](const std::string& name) {
      return name.starts_with("model-");
    });
    if (has_index_ || shard != present.end()) {
      throw CheckpointError(
          {.code = "AMBIGUOUS_INPUT",
           .message = fmt::format("must not hold both {} and {}", kSingle,
                                  has_index_ ? kIndex : printable(*shard)),
           .path = path_,
           .tensor = {},
           .hint = "readers disagree about which one counts; remove the stale one"});
    }
  }
  if (!single && !has_index_) no_weights(path_);
  for (const char* pickle : kPickles) {
    if (path_exists(path_ + "/" + pickle)) {
      notices_.push_back(fmt::format("{}: {} ignored, the safetensors files count", path_, pickle));
    }
  }
  std::optional<int64_t> declared_bytes;
  if (has_index_) {
    ShardIndex index = read_shard_index(path_ + "/" + kIndex);
    declared_bytes = index.total_size;
    weight_map_ = std::move(index.weight_map);
    shard_names_ = std::move(index.files);
    notices_.insert(notices_.end(), index.notices.begin(), index.notices.end());
    std::vector<std::string> unlisted;
    std::set_difference(present.begin(), present.end(), shard_names_.begin(), shard_names_.end(),
                        std::back_inserter(unlisted));
    if (!unlisted.empty()) {
      problems.push_back({.code = "SHARD_UNLISTED",
                          .message = fmt::format("{} safetensors files are not in {}: {}",
                                                 unlisted.size(), kIndex, summarize(unlisted)),
                          .path = path_,
                          .tensor = {},
                          .hint = "remove stale files: some readers load every shard they see"});
    }
  } else {
    shard_names_ = {kSingle};
  }

  const FileDescriptor dir(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::string> missing;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const std::string& name : shard_names_) {
    const std::string shard_path = path_ + "/" + name;
    if (!path_exists(shard_path)) {
      missing.push_back(name);
      continue;
    }
    try {
      auto shard = std::make_unique<SafetensorsFile>(InputFile(dir.get(), name, shard_path));
      const struct stat& status = shard->file().status();
      if (!seen.insert({status.st_dev, status.st_ino}).second) {
        problems.push_back({.code = "SHARD_ALIAS",
                            .message = "is the same file as another shard of the index",
                            .path = shard_path,
                            .tensor = {},
                            .hint = kFetchAgain});
      }
      shards_.push_back(std::move(shard));
    } catch (const CheckpointError& error) {
      problems.push_back(error.info());
    }
  }
  if (!missing.empty()) {
    problems.insert(problems.begin(),
                    {.code = "SHARD_MISSING",
                     .message = fmt::format("{} of {} shards are missing: {}", missing.size(),
                                            shard_names_.size(), summarize(missing)),
                     .path = path_ + "/" + kIndex,
                     .tensor = {},
                     .hint = kFetchAgain});
  }
  throw_all(path_, problems);
  int64_t bytes = 0;
  for (const auto& shard : shards_) {
    for (const TensorInfo& info : shard->tensors()) bytes += info.bytes();
  }
  if (declared_bytes.value_or(bytes) != bytes) {
    notices_.push_back(fmt::format("{}/{}: metadata.total_size says {} bytes, the shards hold {}",
                                   path_, kIndex, *declared_bytes, bytes));
  }
}

void ModelFolder::check_tensors() {
  const std::string index_path = path_ + "/" + kIndex;
  std::vector<ErrorInfo> problems;
  std::map<std::string, TensorLocation> found;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const TensorInfo& info : shards_[shard]->tensors()) {
      const std::string& shard_path = shards_[shard]->path();
      if (!found.emplace(info.name, TensorLocation{shard, &info}).second) {
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
    if (found.contains(name)) continue;
    problems.push_back(
        {.code = "IDX_TENSOR_MISSING",
         .message = fmt::format("listed for {}, which does not hold it", printable(file)),
         .path = index_path,
         .tensor = name,
         .hint = kIndexStale});
  }

  std::set<std::string> expected_names;
  const std::string where = has_index_ ? index_path : path_ + "/" + kSingle;
  for (const ExpectedTensor& tensor : tensors_) {
    expected_names.insert(tensor.name);
    const auto it = found.find(tensor.name);
    if (it == found.end()) {
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
  const bool as_declared = std::any_of(found.begin(), found.end(), [&](const auto& tensor) {
    return tensor.second.info->dtype == torch_dtype(config_.dtype);
  });
  if (!config_.dtype.empty() && !as_declared) {
    notices_.push_back(
        fmt::format("{}/config.json: no tensor is {}, as its dtype says; the tensors' "
                    "own dtypes count",
                    path_, printable(config_.dtype)));
  }
  int64_t ignored = 0;
  for (const auto& [name, location] : found) {
    if (expected_names.contains(name)) continue;
    if (is_ignored(*config_.family, name)) {
      ++ignored;
      continue;
    }
    const std::string lm_head = "lm_head.weight";
    const bool tied = config_.tie_word_embeddings && name == lm_head;
    problems.push_back(
        {.code = tied ? "CFG_TIE" : "CFG_TENSOR_UNEXPECTED",
         .message = tied ? "must be absent when config.json has tie_word_embeddings true"
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
  throw_all(path_, problems);
  locations_ = std::move(found);
}

void ModelFolder::read(const std::string& name, int64_t offset, std::span<std::byte> out) const {
  const TensorLocation location = locate(name);
  shards_[location.shard]->read(*location.info, offset, out);
}

int64_t ModelFolder::weight_bytes() const {
  int64_t total = 0;
  for (const ExpectedTensor& tensor : tensors_) total += locate(tensor.name).info->bytes();
  return total;
}

void ModelFolder::require_unchanged() const {
  for (const auto& shard : shards_) shard->file().require_unchanged();
}

std::string model_digest(const ModelFolder& folder) {
  std::string all = sha256_of_text(folder.config_text());
  for (const auto& shard : folder.shards()) all += sha256_of_file(shard->path());
  return sha256_of_text(all);
}

}  // namespace regroup
