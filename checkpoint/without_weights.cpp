// A folder with a config.json and without its safetensors files: what it holds instead.
#include <fmt/format.h>

#include <algorithm>

#include "model_folder_names.h"
#include "model_place.h"
#include "model_shards.h"
#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const char* code, const std::string& folder, const std::string& message,
                         const std::string& hint) {
  throw CheckpointError({.code = code, .message = message, .path = folder, .hint = hint});
}

/// Weights of another kind. Pickles come first: most folders that lack safetensors have those.
void refuse_other_formats(const std::string& folder, const std::vector<std::string>& files) {
  for (const std::string& name : files) {
    const auto kind = kind_by_name(name);
    if (!kind || !kind->pickled || name == "training_args.bin") continue;
    throw UnsupportedError(
        {.code = "PICKLE_REFUSED",
         .message = fmt::format("must hold safetensors files, found {}", printable(name)),
         .path = folder,
         .hint = std::string(kind->hint)});
  }
  for (const std::string& name : files) {
    const auto kind = kind_by_name(name);
    if (!kind || !kind->other_format) continue;
    throw UnsupportedError({.code = "MODEL_FORMAT",
                            .message = fmt::format("must hold safetensors files, found {} ({})",
                                                   kind->what, printable(name)),
                            .path = folder,
                            .hint = std::string(kind->hint)});
  }
}

void refuse_other_names(const std::string& folder, const std::vector<std::string>& files) {
  std::string found;
  for (const std::string& name : files) {
    if (!name.ends_with(".safetensors")) continue;
    if (name.starts_with("adapter")) {
      refuse("MODEL_NO_WEIGHTS", folder,
             fmt::format("must hold {} or {}, found an adapter alone ({})", kSingle, kIndex,
                         printable(name)),
             "merge it into its base model with peft's merge_and_unload and pass that folder");
    }
    found = name;
  }
  if (found.empty()) return;
  const bool mistral = found.starts_with("consolidated");
  refuse("MODEL_NO_WEIGHTS", folder,
         fmt::format("must hold {} or {}, found {}", kSingle, kIndex, printable(found)),
         mistral ? "it has Mistral's own names: fetch the model*.safetensors of the same repository"
                 : fmt::format("if that file is the whole model, rename it to {}", kSingle));
}

bool is_unfinished(const std::string& folder, const FolderListing& listing) {
  const auto unfinished = [](const std::vector<std::string>& files) {
    return std::any_of(files.begin(), files.end(), [](const std::string& name) {
      return name.ends_with(".incomplete") || name.ends_with(".part") || name.ends_with(".aria2") ||
             name.ends_with(".crdownload");
    });
  };
  if (unfinished(listing.files)) return true;
  const std::string downloads = folder + "/.cache/huggingface/download";
  return is_folder(downloads) && unfinished(list_folder(downloads).files);
}

}  // namespace

void refuse_without_weights(const std::string& folder, const WeightFormat& format) {
  const FolderListing listing = list_folder(folder);
  if (is_unfinished(folder, listing)) {
    refuse("MODEL_NO_WEIGHTS", folder,
           fmt::format("must hold {} or {}, found a download that did not end", kSingle, kIndex),
           "finish the download, with the command that began it");
  }
  const std::vector<std::string> shards = model_shards(listing.files, format);
  if (shards.empty()) {
    refuse_other_formats(folder, listing.files);
    refuse_other_names(folder, listing.files);
    refuse("MODEL_NO_WEIGHTS", folder,
           fmt::format("must hold {} or {}, found neither", kSingle, kIndex), kFetchAgain);
  }
  refuse("IDX_MISSING", folder,
         fmt::format("must hold {} beside the {} shard{} found ({}{})", format.index, shards.size(),
                     shards.size() == 1 ? "" : "s", printable(shards.front()),
                     shards.size() == 1 ? "" : ", ..."),
         kFetchAgain);
}

}  // namespace regroup
