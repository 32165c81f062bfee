#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/tensor_file.h"

namespace regroup {

/// Where a tensor of the model lies.
struct TensorLocation {
  size_t shard;  ///< index into ModelFolder::shards()
  const TensorInfo* info;
};

class MadeTensors;
struct WeightFormat;

/// Whether ModelFolder reads pytorch_model.bin where a folder has no safetensors. At first it does not: a pickle is a program, and
/// though nothing of it is run here, whoever vouches for a model should know that it came so.
void allow_pickled_weights(bool allow);
bool allows_pickled_weights();

/// @throws CheckpointError MODEL_MISSING, MODEL_NOT_FOLDER; UnsupportedError MODEL_FORMAT, PICKLE_REFUSED
///         unless `path` is a folder: what it is instead, and what to do
void require_model_folder(const std::string& path);

/// The config.json of a folder, or the file itself: for what needs no weights.
/// @throws as require_model_folder; CFG_MISSING where nothing stands there
std::string config_path_of(const std::string& model);

/// A Hugging Face folder, opened and checked: config.json, one model.safetensors (or pytorch_model.bin) or an index with its
/// shards. Every name, shape and dtype agrees with the family's table; every header has been read.
class ModelFolder {
 public:
  /// @throws CheckpointError with every problem of the folder listed; UnsupportedError
  static ModelFolder open(const std::string& path);
  /// The same as a folder of written_family(): what conversions read. Tensors that no file holds as that class has them are
  /// made while they are read. @throws as open(), and as written_family()
  static ModelFolder open_as_written(const std::string& path);

  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }
  /// What the file says, and what it says of the class that the folder was opened as.
  const ModelConfig& stored_config() const { return stored_config_ ? *stored_config_ : config_; }
  const std::string& config_text() const { return config_text_; }
  std::string written_config_text() const;
  /// The model's tensors in the order of the family's table.
  const std::vector<ExpectedTensor>& tensors() const { return tensors_; }
  const std::vector<std::unique_ptr<TensorFile>>& shards() const { return shards_; }
  /// Names of the shards as the folder has them.
  const std::vector<std::string>& shard_names() const { return shard_names_; }
  bool has_index() const { return has_index_; }
  /// Where a tensor of the table lies. Its name in the file may be another; of one that is not stored,
  /// where what it is made of does.
  TensorLocation locate(const std::string& name) const { return locations_.at(name); }
  bool contains(const std::string& name) const { return locations_.contains(name); }
  /// Whether the bytes of a tensor lie in a file as they are read.
  bool is_stored(const std::string& name) const;
  /// Whether the values of a tensor stand in no file: they are computed, as F32.
  bool is_computed(const std::string& name) const;
  /// The dtype that a conversion keeps: the stored one, but F32 for F64.
  Dtype dtype(const std::string& name) const;
  /// Reads `bytes` of a tensor from byte `offset`.
  void read(const std::string& name, int64_t offset, std::span<std::byte> out) const;
  /// Bytes of a tensor as it is stored, or would be if it is computed.
  int64_t bytes_of(const std::string& name) const;
  /// The same of all tensors that belong to the model.
  int64_t weight_bytes() const;
  /// Things worth telling the user: ignored buffers, a wrong total_size, custom code.
  const std::vector<std::string>& notices() const { return notices_; }
  /// What the folder holds and a user may take for a part of the model, but is not read.
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// @throws CheckpointError SRC_CHANGED if any shard changed since it was opened
  void require_unchanged() const;

 private:
  ModelFolder() = default;
  void open_shards();
  void warn_of_adapter();
  /// Sets has_index_. @throws CheckpointError AMBIGUOUS_INPUT, MODEL_NO_WEIGHTS, ...
  void choose_weights(const std::vector<std::string>& present);
  /// @return metadata.total_size, if declared
  std::optional<int64_t> read_index(const std::vector<std::string>& present,
                                    std::vector<ErrorInfo>& problems);
  /// @return what is sound, but not read
  std::vector<ErrorInfo> open_listed(std::vector<ErrorInfo>& problems);

  void check_tensors();
  /// All tensors of the files, by the names they have there.
  std::map<std::string, TensorLocation> find_tensors(std::vector<ErrorInfo>& problems) const;
  void note_dtypes();
  /// @return the names that are neither the model's nor known to be of no use
  std::vector<std::string> drop_unused(const std::map<std::string, TensorLocation>& files);
  bool same_bytes(TensorLocation a, TensorLocation b) const;
  void make_written();

  std::string path_;
  const WeightFormat* format_ = nullptr;
  ModelConfig config_;
  std::string config_text_;
  std::vector<ExpectedTensor> tensors_;
  std::vector<std::string> shard_names_;
  std::vector<std::unique_ptr<TensorFile>> shards_;
  bool has_index_ = false;
  std::map<std::string, std::string> weight_map_;
  std::map<std::string, TensorLocation> locations_;
  std::optional<ModelConfig> stored_config_;  // open_as_written() of another class
  std::shared_ptr<const MadeTensors> made_;   // likewise
  std::vector<std::string> notices_;
  std::vector<std::string> warnings_;
};

/// SHA-256 over config.json and the weight files: what a model is, whatever its folder is called.
std::string model_digest(const ModelFolder& folder);

/// A shard index: which file holds which tensor.
struct ShardIndex {
  std::map<std::string, std::string> weight_map;  ///< tensor -> file name
  std::vector<std::string> files;                 ///< sorted, each once
  std::optional<int64_t> total_size;              ///< as declared; never trusted
  std::vector<std::string> notices;
};

/// Parses model.safetensors.index.json. File names are checked as text only: one component, no path.
/// @param ending  of the files' names
/// @throws CheckpointError IDX_*, PATH_*, JSON_*
ShardIndex read_shard_index(const std::string& path, std::string_view ending = ".safetensors");

/// @throws CheckpointError PATH_* unless `name` is a plain file name with that ending
void check_shard_name(const std::string& name, const std::string& index_path,
                      std::string_view ending = ".safetensors");

}  // namespace regroup
