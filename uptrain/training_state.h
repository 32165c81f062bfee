#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/dtype.h"
#include "regroup/model/decoder.h"
#include "regroup/uptrain/metrics.h"

namespace regroup {

/// Everything a run needs to go on exactly where it was, beside the optimizer's buffers.
struct TrainingState {
  int64_t step = 0;  ///< finished steps; sample and token counts follow from it
  int64_t tokens = 0;
  int64_t skipped = 0;  ///< steps whose gradient was not finite, in all
  int64_t skipped_in_a_row = 0;
  double best_val_loss = 0;        ///< meaningful once val_loss is
  std::optional<double> val_loss;  ///< the last one measured
  std::optional<double> first_val_loss;
  double last_loss = 0;
  std::optional<StepMetrics> unvalidated = {};  ///< the last step, where its validation was left
  std::string settings;                         ///< what must be the same when resuming, as JSON
};

/// As state.json has it.
std::string to_text(const TrainingState& state);
TrainingState training_state_of(const std::string& text);

/// Names of the settings that differ, with both values and whose they are; some only one of the two may have.
std::string differing_settings(const Json& one, const Json& other, const char* of_one,
                               const char* of_other);

/// A checkpoint as it was found: `buffers` are those of AdamW::state().
struct FoundCheckpoint {
  TrainingState state;
  std::map<std::string, at::Tensor> buffers;
};

/// The checkpoints of one run: OUT/checkpoints/step-N, each complete or absent: a Hugging Face folder
/// with state.json, state.safetensors (the optimizer's buffers; no pickle) and checkpoint.json, which
/// holds the SHA-256 of every other file and is written last.
class CheckpointStore {
 public:
  CheckpointStore(std::string folder, std::string model, std::map<std::string, Dtype> dtypes,
                  int64_t keep);
  /// Writes step-N atomically, then removes the oldest beyond `keep` and what find_newest() skipped. Does
  /// nothing for the step that it wrote or found last.
  /// @param buffers  AdamW::state()
  void save(const Decoder& decoder, const std::map<std::string, at::Tensor>& buffers,
            const TrainingState& state);
  /// Reads the newest checkpoint whose files all agree with their digests; a damaged one is reported
  /// through `warnings` and the one before it is tried. Nothing found: nullopt.
  /// @throws ConfigError CKPT_MISMATCH naming the settings that differ
  /// @throws CheckpointError CKPT_CORRUPT when there are checkpoints but none is intact
  std::optional<FoundCheckpoint> find_newest(const std::string& settings,
                                             std::vector<std::string>* warnings);
  /// The settings of the run whose checkpoints these are; nullopt where none can be read.
  std::optional<Json> newest_settings() const;
  bool empty() const { return steps().empty(); }

 private:
  std::vector<int64_t> steps() const;  // ascending
  std::string path_of(int64_t step) const;
  void remove_unfinished() const;  // what killed runs left
  void remove_stale() const;

  std::string folder_;
  std::string model_;
  std::map<std::string, Dtype> dtypes_;
  int64_t keep_;
  int64_t saved_ = -1;  // the step written or found last
};

/// Writes `decoder` as a plain Hugging Face folder with a manifest (regroup.json), atomically.
void publish_model(const Decoder& decoder, const std::string& model, const std::string& folder,
                   const std::map<std::string, Dtype>& dtypes, const Json& method);

}  // namespace regroup
