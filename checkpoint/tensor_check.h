#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "regroup/checkpoint/model_folder.h"

namespace regroup {

using TensorLocations = std::map<std::string, TensorLocation>;

/// What is compared: the tensors that config.json and the family's table ask for, and those of the files.
struct TensorCheck {
  const std::string& folder;
  const ModelConfig& config;
  const std::vector<ExpectedTensor>& expected;
  const TensorLocations& files;  ///< by the names that the files have
  std::string missing_from;      ///< the file or index at fault when one is missing
  std::vector<std::string> shard_paths;
  std::string config_path() const { return folder + "/config.json"; }
};

/// Names of the table, and the tensors of the files that stand for them.
struct NameMatch {
  TensorLocations located;
  std::vector<std::string> notices;
};

/// Finds the tensors of the table: under their own names; without "model.", as a base model is saved; an
/// embedding of which the tied head is the copy that was kept; one that a file's metadata says another
/// stands for (safetensors' save_model).
NameMatch match_names(const TensorCheck& check,
                      const std::vector<std::map<std::string, std::string>>& metadata);

/// @throws CheckpointError or UnsupportedError, in one sentence, when the names are those of a wrapper, of
/// quantized weights, of an adapter or of another family
void refuse_foreign_names(const TensorCheck& check, const TensorLocations& located);

/// Everything missing, of another shape or of another dtype. What is wrong alike in many tensors is one
/// problem, and names the key of config.json where one key explains it.
/// @param reported  names that a problem of the index already mentions
std::vector<ErrorInfo> find_disagreements(const TensorCheck& check, const TensorLocations& located,
                                          const std::set<std::string>& reported);

/// Tensors that the model does not have. `unexpected` are names of files.
std::vector<ErrorInfo> explain_unexpected(const TensorCheck& check,
                                          const std::vector<std::string>& unexpected);

/// Problems that differ in the tensor alone become one, with the layers as a range.
std::vector<ErrorInfo> group_problems(const std::vector<ErrorInfo>& problems);

/// The name that the table has for `role`, "{}" for the layer's number; "" where the family has no such tensor.
std::string rule_name(const ModelFamily& family, Role role);

/// The key of config.json that says whether `family` has the tensors of a rule, and what they are.
struct PresenceKey {
  std::string_view key;  ///< "" where no key says so
  std::string_view what;
};
PresenceKey key_of(Presence presence, const ModelFamily& family);

/// The layer in a name that instantiates the family's rules, whatever follows it; -1 without one.
int64_t layer_of(const ModelFamily& family, const std::string& name);

}  // namespace regroup
