#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/checkpoint/output_folder.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/convert/calibrated.h"
#include "regroup/convert/convert_options.h"
#include "regroup/convert/fold.h"
#include "regroup/convert/head_transform.h"

namespace regroup {

/// What happens to one tensor.
enum class Action {
  kCopy,
  kCast,
  kMake,  ///< computed of several tensors of a parent of another class (ModelFolder::open_as_written)
  kMerge,
  kRepeat,
  kFoldQuery,
  kFoldOutput,
  kReplace
};
const char* action_name(Action action);
/// Whether no head changes.
bool is_plain(Action action);

/// What happens to the rows that one role has.
struct PartPlan {
  Role role = Role::kEmbedding;
  Action action = Action::kCopy;
  PartPlace before;  ///< in the parent
  PartRows after;    ///< in the tensor that is written
};

struct TensorPlan {
  TensorSpec spec;  ///< as it will be written
  int64_t layer = -1;
  int64_t head = 0;             ///< which tensor of its role, where each head has one
  int64_t n_heads = 1;          ///< how many tensors its role has
  std::vector<PartPlan> parts;  ///< in the order of the file; a single one for most tensors

  Action action() const;  ///< of all parts: a plain one only if no other happens to any
  bool is_fused() const { return parts.size() > 1; }
  int64_t width() const;  ///< elements of a row, as PartRows counts rows
};

/// Bytes of the parent that `tensor` is made of.
int64_t read_bytes(const ModelFolder& model, const TensorPlan& tensor);

struct ShardPlan {
  std::string name;
  std::vector<TensorPlan> tensors;
  std::string prefix;  ///< length and header, ready to be written
  int64_t bytes = 0;   ///< of the whole file
};

/// Everything a conversion will do, known before the first byte is written. It is made once: where weights and text decide
/// how heads merge it says what the method will change, until settle() says what it does change.
struct ConversionPlan {
  ConvertOptions request;  ///< what is asked, as the parent lets it be (options_for)
  ModelConfig stored;      ///< the parent as its files have it
  ModelConfig before;      ///< the parent as one of the class that is written
  ModelConfig after;
  std::vector<LayerTransform> transforms;  ///< [n_layers]; empty until they are decided
  std::vector<ShardPlan> shards;
  std::vector<std::string> copied_files;  ///< all that is neither weights nor config.json
  std::vector<std::string> left_out;      ///< companions that are not copied, and why
  std::string config_text;
  std::string index_text;           ///< "" for a single shard
  std::string weights_folder;       ///< of calibrated layers, or ""
  std::vector<LayerReport> layers;  ///< what calibration found, or nothing
  Gains gains;                      ///< pca
  int64_t calibration_tokens = 0;
  double calibration_flops = 0;
  std::optional<HeldOutQuality> quality;  ///< of the whole, where text was held out
  std::optional<HeldOutQuality>
      before_distillation;  ///< the same before all layers were trained together
  int64_t read_bytes = 0;
  int64_t written_bytes = 0;
  int64_t n_copied = 0;
  int64_t n_changed = 0;
  int64_t peak_memory_bytes = 0;  ///< estimate, the runtime's own share included
};

/// @throws ConfigError KV_HEADS and others, as options_for() does
ConversionPlan plan_conversion(const ModelFolder& model, const ConvertOptions& options);
/// Completes `plan` with what was decided. @throws ConfigError TRANSFORM
void settle(ConversionPlan& plan, const ModelFolder& model, Calibrated decided);

/// The dtype that --dtype names; nothing for "keep". @throws ConfigError FLAG_VALUE
std::optional<Dtype> target_dtype(const std::string& name);

struct ConvertResult {
  std::vector<std::pair<std::string, std::string>> digests;  ///< file -> SHA-256
  int64_t read_bytes = 0;
  int64_t written_bytes = 0;
  int64_t resumed_files = 0;  ///< files an earlier, interrupted run had finished
};

/// Called now and then with the bytes written so far and in all.
using ProgressFunction = std::function<void(int64_t done, int64_t total)>;

/// Refuses an OUT that cannot be written, before any work is done. @throws as check_output_path()
void check_output(const ConvertOptions& options);

struct ConvertProgress {
  ProgressFunction bytes;
  CalibrationProgress calibration;
};

/// Carries out a settled `plan`: one pass over the weights, tensor by tensor through a few buffers, every file
/// hashed while its bytes pass.
/// @throws CheckpointError VAL_NONFINITE, VAL_OVERFLOW, SRC_CHANGED; OutputError; StoppedError
ConvertResult execute_conversion(const ModelFolder& model, const ConversionPlan& plan,
                                 const ConvertOptions& options, const ProgressFunction& progress);

/// What must be the same for an interrupted run to be resumed.
Json conversion_job(const ModelFolder& model, const ConvertOptions& options);
/// OUT.partial under its lock, new or as an interrupted run of the same conversion left it.
OutputFolder open_output(const ModelFolder& model, const ConvertOptions& options);
/// The same in a folder that is open already.
/// @param dense  null where no transform is dense
ConvertResult execute_conversion(const ModelFolder& model, const ConversionPlan& plan,
                                 const ConvertOptions& options, const ProgressFunction& progress,
                                 OutputFolder& folder, const DenseFold* dense);

}  // namespace regroup
