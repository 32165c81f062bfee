#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "regroup/uptrain/metrics.h"
#include "regroup/uptrain/options.h"

namespace regroup {

/// What is known before the first step.
struct RunFacts {
  std::string model;
  std::string architecture;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t n_trainable = 0;
  int64_t steps = 0;
  int64_t tokens_per_step = 0;
  int64_t seq_len = 0;
  int64_t data_tokens = 0;
  double epochs = 0;
  double flops_per_token = 0;
  int64_t memory_bytes = 0;  ///< estimate: weights, optimizer, activations of one micro-batch
  std::string device;
  std::string precision;
  std::optional<int64_t> resumed_from;
  std::optional<double> first_val_loss;
};

struct TrainResult {
  int64_t steps = 0;
  int64_t tokens = 0;
  double loss = 0;
  std::optional<double> val_loss;
  std::optional<double> best_val_loss;
  std::optional<int64_t> resumed_from;
  int64_t skipped = 0;
  double tokens_per_s = 0;  ///< of the steps this process made, validation and saving left out
  double flops = 0;         ///< of the whole run
  int64_t peak_device_bytes = 0;
};

/// Whom a run tells what it does.
struct TrainObserver {
  std::function<void(const RunFacts&)> started;
  std::function<void(const StepMetrics&, int64_t steps)> stepped;
  std::function<void(const std::string&)> noted;  ///< one line worth logging
  std::function<void(const std::string&)> warned;
};

/// Trains options.model into options.out (CLI.md, uptrain). Resumes an interrupted run of the same
/// settings bit for bit.
/// @throws ConfigError OUTPUT_EXISTS, CKPT_MISMATCH, LOCKED, BUDGET and others
/// @throws CheckpointError TRAIN_NONFINITE after three steps in a row without a finite gradient
/// @throws StoppedError after SIGINT, SIGTERM or --max-minutes, once everything is on disk
TrainResult uptrain(const UptrainOptions& options, const TrainObserver& observer);

/// Multiply-adds count two. Causal attention counts half of the square. Frozen matrices need no
/// weight gradient (training.md 13.1, convention C).
double training_flops_per_token(const ModelConfig& config, int64_t seq_len, TrainScope scope);

}  // namespace regroup
