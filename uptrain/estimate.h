#pragma once

#include "regroup/uptrain/trainer.h"

namespace regroup {

/// Bytes a run will need: weights, optimizer and the activations of one micro-batch. An estimate, for
/// the start banner. options.seq_len must be resolved.
int64_t estimate_training_bytes(const ModelConfig& config, const UptrainOptions& options,
                                int64_t n_trainable);

/// Activations of a teacher's forward pass over one micro-batch.
int64_t estimate_teacher_bytes(const ModelConfig& teacher, const UptrainOptions& options);

}  // namespace regroup
