#include "regroup/checkpoint/model_folder.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "made_tensors.h"
#include "model_folder_names.h"
#include "model_place.h"
#include "model_shards.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/companions.h"
#include "regroup/checkpoint/config_file.h"

namespace regroup {
namespace {

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

/// A shard that a writer left empty: nothing lists it, and nothing is missing without it.
bool holds_no_tensor(const std::string& path, const WeightFormat& format) {
  try {
    return format.read_table(InputFile(path)).tensors.empty();
  } catch (const Error&) {  // whatever it is, it is not empty
    return false;
  }
}

/// What a config.json asks for that is never done, and what whoever does it would miss.
void note_custom_code(const std::string& model, const std::string& config_text,
                      std::vector<std::string>& notices, std::vector<std::string>& warnings) {
  const std::string path = model + "/config.json";
  const Json root = parse_strict_json(config_text, path, kConfigJson);
  for (const char* key : {"auto_map", "custom_pipelines"}) {
    if (root.contains(key)) {
      notices.push_back(fmt::format("{}: \"{}\" ignored; custom code is never run", path, key));
    }
  }
  if (auto warning = missing_code_warning(model, root)) warnings.push_back(std::move(*warning));
}

}  // namespace

ModelFolder ModelFolder::open(const std::string& path) {
  require_model_folder(path);
  ModelFolder folder;
  folder.path_ = path;
  const std::string config_path = path + "/config.json";
  folder.config_text_ = open_config_file(config_path).read_all();
  folder.config_ = parse_model_config(folder.config_text_, config_path);
  note_custom_code(path, folder.config_text_, folder.notices_, folder.warnings_);
  folder.tensors_ = expected_tensors(folder.config_);
  folder.warn_of_adapter();
  folder.open_shards();
  folder.check_tensors();
  return folder;
}

// transformers with peft applies it to the model; what regroup reads is the model without it.
void ModelFolder::warn_of_adapter() {
  if (!path_exists(path_ + "/adapter_config.json")) return;
  warnings_.push_back(fmt::format(
      "{}: the adapter beside the model (adapter_config.json) is not part of the result; "
      "to have it in, merge it first with peft's merge_and_unload",
      path_));
}

void ModelFolder::open_shards() {
  const auto has = [&](const char* name) { return path_exists(path_ + "/" + name); };
  const WeightFormat& torch = torch_format();
  const bool safetensors = has(kSingle) || has(kIndex);
  const std::vector<std::string> files = list_folder(path_).files;
  const bool pickled = model_shards(files).empty() && !model_shards(files, torch).empty();
  format_ = !safetensors && pickled && allows_pickled_weights() ? &torch : &safetensors_format();
  for (const char* pickle : {torch.single, torch.index}) {
    if (safetensors && has(pickle)) {
      notices_.push_back(fmt::format("{}: {} ignored, the safetensors files count", path_, pickle));
    }
  }
  const auto present = model_shards(files, *format_);
  choose_weights(present);
  std::vector<ErrorInfo> problems;
  std::optional<int64_t> declared_bytes;
  if (has_index_) {
    declared_bytes = read_index(present, problems);
  } else {
    shard_names_ = {format_->single};
  }
  const std::vector<ErrorInfo> unsupported = open_listed(problems);
  if (problems.empty() && !unsupported.empty()) throw UnsupportedError(unsupported.front());
  problems.insert(problems.end(), unsupported.begin(), unsupported.end());
  throw_all(path_, problems);
  int64_t bytes = 0;
  for (const auto& shard : shards_) {
    for (const TensorInfo& info : shard->tensors()) bytes += info.bytes();
  }
  if (declared_bytes.value_or(bytes) != bytes) {
    notices_.push_back(fmt::format("{}/{}: metadata.total_size says {} bytes, the shards hold {}",
                                   path_, format_->index, *declared_bytes, bytes));
  }
}

void ModelFolder::choose_weights(const std::vector<std::string>& present) {
  const std::string index = path_ + "/" + format_->index;
  const bool single = path_exists(path_ + "/" + format_->single);
  has_index_ = path_exists(index);
  if (!single && !has_index_) refuse_without_weights(path_, *format_);
  if (!single) return;
  // An index may name that one file, as mlx_lm writes it.
  const bool alone = present.size() == 1 && present.front() == format_->single;
  if (has_index_ && alone && read_shard_index(index, format_->ending).files == present) return;
  const auto shard = std::find_if(present.begin(), present.end(), [this](const std::string& name) {
    return name.starts_with(std::string(format_->start) + "-");
  });
  if (!has_index_ && shard == present.end()) return;
  throw CheckpointError({.code = "AMBIGUOUS_INPUT",
                         .message = fmt::format("must not hold both {} and {}", format_->single,
                                                has_index_ ? format_->index : printable(*shard)),
                         .path = path_,
                         .hint = "readers disagree about which one counts; remove the stale one"});
}

std::optional<int64_t> ModelFolder::read_index(const std::vector<std::string>& present,
                                               std::vector<ErrorInfo>& problems) {
  ShardIndex index = read_shard_index(path_ + "/" + format_->index, format_->ending);
  weight_map_ = std::move(index.weight_map);
  shard_names_ = std::move(index.files);
  notices_.insert(notices_.end(), index.notices.begin(), index.notices.end());
  std::vector<std::string> unlisted;
  std::set_difference(present.begin(), present.end(), shard_names_.begin(), shard_names_.end(),
                      std::back_inserter(unlisted));
  std::erase_if(unlisted, [&](const std::string& name) {
    return holds_no_tensor(path_ + "/" + name, *format_);
  });
  if (!unlisted.empty()) {
    problems.push_back(
        {.code = "SHARD_UNLISTED",
         .message = fmt::format("{} {} files are not in {}: {}", unlisted.size(),
                                format_->ending + 1, format_->index, summarize(unlisted)),
         .path = path_,
         .hint = "remove stale files: some readers load every shard they see"});
  }
  return index.total_size;
}

std::vector<ErrorInfo> ModelFolder::open_listed(std::vector<ErrorInfo>& problems) {
  const FileDescriptor dir(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::string> missing;
  std::vector<ErrorInfo> unsupported;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const std::string& name : shard_names_) {
    const std::string shard_path = path_ + "/" + name;
    if (!path_exists(shard_path)) {
      missing.push_back(name);
      continue;
    }
    try {
      auto shard =
          std::make_unique<TensorFile>(InputFile(dir.get(), name, shard_path), format_->read_table);
      const struct stat& status = shard->file().status();
      if (!seen.insert({status.st_dev, status.st_ino}).second) {
        problems.push_back({.code = "SHARD_ALIAS",
                            .message = "is the same file as another shard of the index",
                            .path = shard_path,
                            .hint = kFetchAgain});
      }
      shards_.push_back(std::move(shard));
    } catch (const CheckpointError& error) {
      problems.push_back(error.info());
    } catch (const UnsupportedError& error) {
      unsupported.push_back(error.info());
    }
  }
  if (!missing.empty()) {
    problems.insert(problems.begin(),
                    {.code = "SHARD_MISSING",
                     .message = fmt::format("{} of {} shards are missing: {}", missing.size(),
                                            shard_names_.size(), summarize(missing)),
                     .path = path_ + "/" + format_->index,
                     .hint = kFetchAgain});
  }
  return unsupported;
}

void ModelFolder::read(const std::string& name, int64_t offset, std::span<std::byte> out) const {
  if (const MadeTensor* made = made_ ? made_->find(name) : nullptr) {
    made_->read(*made, shards_, offset, out);
    return;
  }
  const TensorLocation location = locate(name);
  shards_[location.shard]->read(*location.info, offset, out);
}

int64_t ModelFolder::weight_bytes() const {
  int64_t total = 0;
  for (const ExpectedTensor& tensor : tensors_) total += bytes_of(tensor.name);
  return total;
}

void ModelFolder::require_unchanged() const {
  const std::string config_path = path_ + "/config.json";
  if (!path_exists(config_path) || InputFile(config_path).read_all() != config_text_) {
    throw CheckpointError(
        {.code = "SRC_CHANGED",
         .message = "must not change while the model is read, but its text did",
         .path = config_path,
         .hint = "run the command again when nothing writes to the folder any more"});
  }
  for (const auto& shard : shards_) shard->file().require_unchanged();
}

std::string model_digest(const ModelFolder& folder) {
  std::string all = sha256_of_text(folder.config_text());
  for (const auto& shard : folder.shards()) all += sha256_of_file(shard->path());
  return sha256_of_text(all);
}

}  // namespace regroup
