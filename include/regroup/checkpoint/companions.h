#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// What a model folder holds besides weights and config.json, which a folder made from it gets byte for
/// byte: nothing in it depends on the head count.
struct Companions {
  std::vector<std::string> files;     ///< sorted; "additional_chat_templates/tool_use.jinja"
  std::vector<std::string> left_out;  ///< what is not copied and might be missed, as sentences
};

/// Tokenizer, template, generation, code and licence files: everything but weights, what describes the weights,
/// hidden files, and folders that hold weights of their own. Links are followed, but not out of the folder,
/// unless the file is a tokenizer's or the folder a snapshot in the hub's cache.
/// @throws CheckpointError IO_READ_ERROR for one that may not be read
Companions find_companions(const std::string& model);

/// A warning where the auto_map of config.json names files with code that `model` has not, which every folder made
/// from it will miss too.
std::optional<std::string> missing_code_warning(const std::string& model, const Json& config);

/// Copies them into `folder`, each synced before it has its name.
void copy_companion_files(const std::string& model, const std::string& folder);

}  // namespace regroup
