// A folder without config.json: what it is instead.
#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hub_cache.h"
#include "model_place.h"
#include "model_shards.h"
#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const std::string& folder, const std::string& what,
                         const std::string& hint) {
  throw CheckpointError(
      {.code = "CFG_MISSING",
       .message = fmt::format("must be a folder with a config.json, found {}", what),
       .path = folder,
       .hint = hint});
}

[[noreturn]] void refuse_format(const std::string& folder, const std::string& what,
                                const std::string& hint) {
  throw UnsupportedError(
      {.code = "MODEL_FORMAT",
       .message = fmt::format("must be a Hugging Face folder with a config.json, found {}", what),
       .path = folder,
       .hint = hint});
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::binary_search(names.begin(), names.end(), name);
}

/// The first file with that start and end; "" without one.
std::string find(const std::vector<std::string>& names, std::string_view start,
                 std::string_view end) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    return name.starts_with(start) && name.ends_with(end);
  });
  return found == names.end() ? std::string() : *found;
}

void refuse_hub_cache(const std::string& folder, const FolderListing& listing) {
  if (is_hub_cache_of_a_model(folder)) {
    const std::string plain = without_last_slash(folder);
    const std::string name = printable(hub_name(plain.substr(plain.rfind('/') + 1)));
    const std::string snapshots = hub_snapshots_text(folder);
    refuse(folder, fmt::format("the hub's cache of {}", name),
           snapshots.empty()
               ? fmt::format("it holds no complete snapshot: run `hf download {}`", name)
               : fmt::format("pass a snapshot: {}", snapshots));
  }
  std::vector<std::string> found;
  for (const std::string& name : listing.folders) {
    if (!name.starts_with("models--") || found.size() == 3) continue;
    const std::string snapshots = hub_snapshots_text(folder + "/" + name);
    if (!snapshots.empty()) found.push_back(snapshots);
  }
  if (found.empty()) return;
  refuse(folder, "the hub's cache of several models",
         fmt::format("pass a snapshot of one of them, such as {}", join(found, " or ")));
}

void refuse_adapter(const std::string& folder, const FolderListing& listing) {
  if (!has(listing.files, "adapter_config.json")) return;
  std::string base = "its base model";
  try {
    const Json root = read_strict_json(folder + "/adapter_config.json", kConfigJson);
    const Json name = root.is_object() ? root.value("base_model_name_or_path", Json()) : Json();
    if (name.is_string()) base += fmt::format(" ({})", printable(name.get<std::string>()));
  } catch (const CheckpointError&) {
  }
  refuse_format(folder, "an adapter alone (adapter_config.json)",
                fmt::format("merge it into {} with peft's merge_and_unload, save that model and "
                            "pass its folder",
                            base));
}

/// Checkpoints as Meta and Mistral publish them.
void refuse_original(const std::string& folder, const FolderListing& listing) {
  const std::string pickles = find(listing.files, "consolidated.", ".pth");
  if (!pickles.empty()) {
    refuse_format(folder, fmt::format("a checkpoint in Meta's own format ({})", printable(pickles)),
                  "fetch the model's Hugging Face version, or convert it with transformers' "
                  "convert_llama_weights_to_hf.py");
  }
  const std::string weights = find(listing.files, "consolidated", ".safetensors");
  if (weights.empty()) return;
  refuse_format(
      folder, fmt::format("a checkpoint in Mistral's own format ({})", printable(weights)),
      "fetch the model's Hugging Face version, whose files are called model*.safetensors");
}

/// A model that lies further down: checkpoints of a training, `model` of an uptrain.
void refuse_parent_of_models(const std::string& folder, const FolderListing& listing) {
  constexpr size_t kShown = 3;
  constexpr size_t kLookedAt = 200;
  std::vector<std::string> found;
  const auto look = [&](const std::string& name) {
    if (path_exists(folder + "/" + name + "/config.json")) found.push_back(folder + "/" + name);
  };
  size_t looked = 0;
  for (const std::string& name : listing.folders) {
    if (name.starts_with('.') || ++looked > kLookedAt) continue;
    look(name);
    if (name != "checkpoints" && name != "snapshots" && name != "results") continue;
    for (const std::string& inner : list_folder(folder + "/" + name).folders)
      look(name + "/" + inner);
  }
  if (found.empty()) return;
  const size_t more = found.size() > kShown ? found.size() - kShown : 0;
  found.resize(found.size() - more);
  for (std::string& path : found) path = printable(path, 1000);
  refuse(folder, "a folder whose sub-folders hold models",
         fmt::format("pass one of them: {}{}", join(found, ", "),
                     more > 0 ? fmt::format(" and {} more", more) : ""));
}

void refuse_other_program(const std::string& folder, const FolderListing& listing) {
  if (has(listing.files, "model_index.json")) {
    refuse_format(folder, "a diffusers pipeline (model_index.json)",
                  "regroup converts language models; pass the folder of one");
  }
  for (const std::string& name : listing.files) {
    const auto kind = kind_by_name(name);
    if (!kind || !kind->other_format) continue;
    refuse_format(folder, fmt::format("{} ({})", kind->what, printable(name)),
                  std::string(kind->hint));
  }
  for (const std::string& name : listing.folders) {
    if (name.starts_with("global_step")) {
      refuse_format(folder, fmt::format("a DeepSpeed checkpoint ({})", printable(name)),
                    "gather it with its zero_to_fp32.py and save_pretrained the model");
    }
    if (name.starts_with("iter_") || name.starts_with("mp_rank_")) {
      refuse_format(folder, fmt::format("a Megatron checkpoint ({})", printable(name)),
                    "convert it to a Hugging Face folder with Megatron's own tools");
    }
  }
}

}  // namespace

void refuse_without_config(const std::string& folder) {
  const FolderListing listing = is_folder(folder) ? list_folder(folder) : FolderListing();
  refuse_hub_cache(folder, listing);
  refuse_adapter(folder, listing);
  if (has(listing.files, "JOB.json")) {
    refuse(folder, "an unfinished output of regroup",
           "run the command that was interrupted again: it goes on where it was");
  }
  for (const std::string& name : listing.files) {
    if (::strcasecmp(name.c_str(), "config.json") != 0) continue;
    refuse(folder, printable(name), "names are case-sensitive here: rename it to config.json");
  }
  refuse_original(folder, listing);
  refuse_other_program(folder, listing);
  refuse_parent_of_models(folder, listing);
  if (is_folder(folder) && listing.files.empty() && listing.folders.empty()) {
    refuse(folder, "an empty folder", "pass a Hugging Face folder");
  }
  const bool weights = !model_shards(listing.files).empty();
  throw CheckpointError(
      {.code = "CFG_MISSING",
       .message = weights ? "must exist beside the safetensors files" : "must exist",
       .path = folder + "/config.json",
       .hint = weights ? "fetch config.json of the same model"
                       : "pass a Hugging Face folder with a config.json and safetensors files"});
}

}  // namespace regroup
