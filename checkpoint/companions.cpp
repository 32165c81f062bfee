#include "regroup/checkpoint/companions.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/folder_tree.h"
#include "regroup/base/human_number.h"
#include "regroup/base/input_file.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/manifest.h"

namespace regroup {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLargestFile = int64_t{256} << 20;
constexpr int64_t kMaxBytes = int64_t{1} << 30;
constexpr size_t kMaxFiles = 2000;
constexpr size_t kMaxSentences = 20;
constexpr int kDeepest = 6;
constexpr size_t kLongestName = 240;  // a temporary name is longer

// Names of tokenizer, template and generation files begin so.
constexpr auto kTokenizer = std::to_array<std::string_view>(
    {"tokenizer", "vocab", "merges", "spiece", "sentencepiece", "spm", "bpe", "tekken",
     "added_tokens", "special_tokens", "chat_template", "generation_config", "preprocessor_config",
     "processor_config"});
constexpr auto kWeightEndings = std::to_array<std::string_view>(
    {".safetensors", ".index.json", ".npy", ".ot", ".mlmodel", ".mlpackage", ".onnx.data",
     ".pickle", ".tmp", ".lock", ".part", ".incomplete"});
// config.json is written anew; the others say what the weights are, or what was done to them.
constexpr auto kNotCopied =
    std::to_array<std::string_view>({"config.json", "params.json", "adapter_config.json",
                                     kManifestName, "JOB.json", "PROGRESS.json"});
constexpr auto kTrainingState = std::to_array<std::string_view>({"checkpoint.json", "state.json"});

template <size_t N>
bool holds(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_tokenizer_file(std::string_view name) {
  return name.ends_with(".tiktoken") ||
         std::any_of(kTokenizer.begin(), kTokenizer.end(),
                     [&](std::string_view start) { return name.starts_with(start); });
}

bool is_weights(std::string_view name) {
  if (std::any_of(kWeightEndings.begin(), kWeightEndings.end(),
                  [&](std::string_view end) { return name.ends_with(end); })) {
    return true;
  }
  return !is_tokenizer_file(name) && kind_by_name(name).has_value();
}

bool is_under(const fs::path& path, const fs::path& folder) {
  const auto [end, unused] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end();
}

/// Where links may lead: the folder, or the hub's cache of the model that it is a snapshot of.
fs::path allowed_root(const fs::path& folder) {
  const fs::path cache = folder.parent_path().parent_path();
  const bool snapshot = folder.parent_path().filename() == "snapshots" &&
                        cache.filename().string().starts_with("models--");
  return snapshot ? cache : folder;
}

class Walk {
 public:
  explicit Walk(const std::string& model)
      : model_(model), root_(fs::canonical(model)), allowed_(allowed_root(root_)) {}

  Companions run() {
    enter("", 0);
    std::sort(found_.files.begin(), found_.files.end());
    if (unsaid_ > 0) {
      found_.left_out.push_back(
          fmt::format("{} more files of {} are not copied", unsaid_, printable(model_)));
    }
    return std::move(found_);
  }

 private:
  std::string path_of(const std::string& name) const { return model_ + "/" + name; }

  void leave_out(const std::string& name, const std::string& why) {
    if (found_.left_out.size() >= kMaxSentences) {
      ++unsaid_;
      return;
    }
    found_.left_out.push_back(fmt::format("{} is not copied: {}", printable(path_of(name)), why));
  }

  void visit(const std::string& folder, int depth) {
    const FolderListing listing = list_folder(model_ + (folder.empty() ? "" : "/" + folder));
    if (depth > 0 && std::any_of(listing.files.begin(), listing.files.end(), is_weights)) {
      return;  // another model, or this one in another format
    }
    const std::string prefix = folder.empty() ? "" : folder + "/";
    const bool trained = depth == 0 && std::binary_search(listing.files.begin(),
                                                          listing.files.end(), "state.safetensors");
    for (const std::string& name : listing.files) {
      const bool known = depth == 0 && holds(kNotCopied, name);
      const bool state = trained && holds(kTrainingState, name);
      if (name.starts_with('.') || known || state || is_weights(name)) continue;
      consider(prefix + name, name);
    }
    for (const std::string& name : listing.folders) {
      const bool known = depth == 0 && holds(kNotCopied, name);
      if (!name.starts_with('.') && !known && !is_weights(name)) enter(prefix + name, depth + 1);
    }
  }

  void enter(const std::string& folder, int depth) {
    struct stat status = {};
    if (::stat(path_of(folder).c_str(), &status) != 0) return;
    const std::pair<dev_t, ino_t> identity = {status.st_dev, status.st_ino};
    if (std::find(above_.begin(), above_.end(), identity) != above_.end()) return;  // a loop
    if (found_.files.size() >= kMaxFiles) return leave_out(folder, "there are too many files");
    if (depth > kDeepest) return leave_out(folder, "it lies too deep");
    if (!stays_inside(folder)) return leave_out(folder, "it is a link out of the folder");
    above_.push_back(identity);
    visit(folder, depth);
    above_.pop_back();
  }

  bool stays_inside(const std::string& name) const {
    std::error_code error;
    const fs::path target = fs::canonical(path_of(name), error);
    return !error && is_under(target, allowed_);
  }

  void consider(const std::string& path, const std::string& name) {
    struct stat status = {};
    if (::stat(path_of(path).c_str(), &status) != 0)
      return leave_out(path, "it is a link to nothing");
    if (!S_ISREG(status.st_mode)) return leave_out(path, "it is no regular file");
    if (!stays_inside(path) && !is_tokenizer_file(name)) {
      return leave_out(path, "it is a link out of the folder");
    }
    const bool plain = is_utf8(path) && printable(path, path.size() + 1) == path &&
                       name.size() <= kLongestName && path.find('\\') == std::string::npos;
    if (!plain) return leave_out(path, "its name is not usual text");
    const auto bytes = int64_t{status.st_size};
    if (bytes > kLargestFile || bytes_ + bytes > kMaxBytes || found_.files.size() >= kMaxFiles) {
      return leave_out(path,
                       fmt::format("it is too large to be a companion ({})", human_bytes(bytes)));
    }
    const InputFile readable(path_of(path));
    bytes_ += bytes;
    found_.files.push_back(path);
  }

  std::string model_;
  fs::path root_;
  fs::path allowed_;
  std::vector<std::pair<dev_t, ino_t>> above_;  // the folders that this one lies in
  int64_t bytes_ = 0;
  int64_t unsaid_ = 0;  // left out without a sentence
  Companions found_;
};

/// Files with code that auto_map names and `model` has not: "modeling_tiny.py". What lies in another repository
/// of the hub ("user/repo--modeling_tiny.Tiny") is no file of this one.
std::vector<std::string> missing_code(const std::string& model, const Json& config) {
  std::vector<std::string> missing;
  const auto look_for = [&](const Json& reference) {
    if (!reference.is_string()) return;
    const auto text = reference.get<std::string>();
    const size_t dot = text.find('.');
    const bool names_file = dot != std::string::npos && dot > 0;
    if (!names_file || text.find("--") != std::string::npos) return;
    const std::string file = text.substr(0, dot) + ".py";
    const bool named = std::find(missing.begin(), missing.end(), printable(file)) != missing.end();
    if (named || !is_inner_path(file) || path_exists(model + "/" + file)) return;
    missing.push_back(printable(file));
  };
  if (!config.is_object() || !config.contains("auto_map")) return missing;
  // A class, or for a tokenizer the slow and the fast one.
  for (const Json& entry : config["auto_map"]) {
    look_for(entry);
    if (!entry.is_array()) continue;
    for (const Json& one : entry) look_for(one);
  }
  return missing;
}

}  // namespace

Companions find_companions(const std::string& model) { return Walk(model).run(); }

std::optional<std::string> missing_code_warning(const std::string& model, const Json& config) {
  const std::vector<std::string> missing = missing_code(model, config);
  if (missing.empty()) return std::nullopt;
  return fmt::format(
      "{}/config.json: its auto_map names code that is not in the folder ({}): transformers with "
      "trust_remote_code loads neither this model nor one made from it; fetch the file{} first, or "
      "take auto_map out",
      model, join(missing, ", "), missing.size() == 1 ? "" : "s");
}

void copy_companion_files(const std::string& model, const std::string& folder) {
  for (const std::string& name : find_companions(model).files) {
    make_folders(folder, name);
    write_file_atomically(folder + "/" + name, InputFile(model + "/" + name).read_all());
  }
}

}  // namespace regroup
