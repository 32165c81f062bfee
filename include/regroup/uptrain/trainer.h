#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "regroup/checkpoint/config.h"
#include "regroup/uptrain/metrics.h"
#include "regroup/uptrain/options.h"

namespace regroup {

class Processes;

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
  int64_t memory_bytes = 0;     ///< estimate: weights, optimizer, activations of one micro-batch
  int64_t gathering_bytes = 0;  ///< more in the first of several processes, at a checkpoint
  std::string teacher;          ///< "": none
  std::string teacher_cache;    ///< "": the teacher is asked at every step
  DistillationMix mix;
  int64_t teacher_bytes = 0;  ///< of the teacher alone; part of memory_bytes
  int64_t shared_bytes = 0;   ///< of weights that model and teacher hold once
  std::string device;
  int processes = 1;
  std::string sequences_each;  ///< of a step, for each process: "4", "3 or 4"
  std::string precision;
  double learning_rate = 0;  ///< at the peak
  int64_t warmup_steps = 0;
  std::string rates_chosen;  ///< from what rate and warm-up were chosen; "": they were given
  std::optional<int64_t> resumed_from;
  std::optional<double> first_val_loss;
};

struct TrainResult {
  int64_t steps = 0;
  int64_t tokens = 0;
  double loss = 0;
  std::optional<double> ce;  ///< with a teacher: parts of the last step's loss
  std::optional<double> kl;
  std::optional<double> val_loss;
  std::optional<double> best_val_loss;
  std::optional<int64_t> resumed_from;
  int64_t skipped = 0;
  double learning_rate = 0;  ///< these three as in RunFacts
  int64_t warmup_steps = 0;
  std::string rates_chosen;
  double tokens_per_s = 0;  ///< of the steps this process made, validation and saving left out
  double flops = 0;         ///< of the whole run
  int64_t peak_device_bytes = 0;
  int processes = 1;
  int threads = 0;  ///< CPU threads of LibTorch
};

/// Whom a run tells what it does.
struct TrainObserver {
  std::function<void(const RunFacts&)> started;
  std::function<void(const StepMetrics&, int64_t steps)> stepped;
  /// A text of the training data is being tokenized, and a share of it in [0, 1] was read.
  std::function<void(const std::string& path, double read)> tokenizing;
  std::function<void(const std::string&)> announced;  ///< what will take time or disk, beforehand
  std::function<void(const std::string&)> noted;      ///< one line worth logging
  std::function<void(const std::string&)> warned;
};

/// Trains options.model into options.out. Resumes an interrupted run of the same
/// settings bit for bit.
/// @throws ConfigError OUTPUT_EXISTS, CKPT_MISMATCH, LOCKED, BUDGET and others
/// @throws CheckpointError TRAIN_NONFINITE after three steps in a row without a finite gradient
/// @throws StoppedError after SIGINT, SIGTERM or --max-minutes, once everything is on disk
/// @param processes  share the samples of every batch; the first of them writes and tells the observer
TrainResult uptrain(const UptrainOptions& options, const TrainObserver& observer,
                    Processes& processes);
TrainResult uptrain(const UptrainOptions& options, const TrainObserver& observer);

/// FLOPs that one token of training asks for. Multiply-adds count two, causal attention half of the
/// square. With N the weights of all matrices (the embedding is a
/// look-up) and N_t those that are trained: 2 N forward, 2 N for the gradient of the activations, 2 N_t
/// for that of the weights. Left out is what frozen embeddings make needless: the gradient of the first
/// layer's input. Scope kv counts the K and V rows alone, though the fused projection's gradient is
/// computed with the rows of Q, which are dropped.
double training_flops_per_token(const ModelConfig& config, int64_t seq_len, TrainScope scope);

/// The forward pass alone, 2 N and attention: what a teacher adds.
double forward_flops_per_token(const ModelConfig& config, int64_t seq_len);

}  // namespace regroup
