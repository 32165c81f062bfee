#pragma once

#include <optional>

#include "regroup/uptrain/trainer.h"

namespace regroup {

/// Elements that a scope trains, biases included.
int64_t count_trainable(const ModelConfig& config, TrainScope scope);

/// Bytes a run will need: weights, optimizer and the activations of one micro-batch. An estimate:
/// on a CPU 12 runs of 0.3 to 7 GiB used 4 % less to 6 % more, besides 0.15 GiB of the process itself;
/// bf16 runs of `attention` or `kv` alone 17 % less. options.seq_len must be resolved.
int64_t estimate_training_bytes(const ModelConfig& config, const UptrainOptions& options,
                                int64_t n_trainable);

/// The options of each of several processes: it computes no more sequences at once than its share of a batch has.
UptrainOptions options_of_each(UptrainOptions options, int processes);

/// What of the optimizer a process does not hold when `processes` share it: the moments of the others' weights, and in
/// bf16 their master weights.
int64_t spread_bytes(const ModelConfig& config, const UptrainOptions& options, int processes);

/// What the first of several processes needs at a checkpoint beyond estimate_training_bytes() less spread_bytes(): it
/// gathers what is spread, once the activations are gone.
int64_t gathering_bytes(const ModelConfig& config, const UptrainOptions& options, int processes);

/// The least that a run needs at its peak, before anything is loaded: training with what of the teacher is
/// never shared with the student, or both models' weights while they are loaded.
int64_t estimate_run_bytes(const ModelConfig& config, const UptrainOptions& options,
                           const std::optional<ModelConfig>& teacher);

/// Activations of a teacher's forward pass over one micro-batch.
int64_t estimate_teacher_bytes(const ModelConfig& teacher, const UptrainOptions& options);

}  // namespace regroup
