#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/setting.h"
#include "regroup/checkpoint/output_folder.h"
#include "regroup/model/distillation_mix.h"
#include "regroup/text/documents.h"
#include "regroup/text/token_file.h"
#include "regroup/uptrain/adamw_options.h"
#include "regroup/uptrain/schedule.h"

namespace regroup {

/// What is trained: every weight; the q, k, v and o projections; k and v alone. Biases go with their
/// projection.
enum class TrainScope { kAll, kAttention, kKv };
template <>
struct Words<TrainScope> {
  static constexpr auto all = std::to_array<Word<TrainScope>>(
      {{"all", TrainScope::kAll}, {"attention", TrainScope::kAttention}, {"kv", TrainScope::kKv}});
};

/// bf16 keeps float32 master weights.
enum class Precision { kFp32, kBf16 };
template <>
struct Words<Precision> {
  static constexpr auto all =
      std::to_array<Word<Precision>>({{"fp32", Precision::kFp32}, {"bf16", Precision::kBf16}});
};

/// How long to train. Exactly one is given; steps() turns it into optimizer steps.
struct Budget {
  std::optional<int64_t> steps;
  std::optional<int64_t> tokens;
  std::optional<double> fraction;  ///< the paper's alpha, of `pretraining_tokens`
  std::optional<int64_t> pretraining_tokens;

  /// At least one step; a budget in tokens is rounded to the nearest whole step.
  /// @throws ConfigError unless exactly one of steps, tokens and fraction is given
  int64_t resolve(int64_t tokens_per_step) const;
  /// What --tokens or --fraction ask for; nullopt for a budget in steps.
  std::optional<double> asked_tokens() const;
};

/// The settings of `uptrain`; what users know of each is in settings.h.
struct UptrainOptions {
  std::string model;
  std::string out;
  std::vector<std::string> data;
  std::string valid;
  int64_t valid_tokens = 0;         ///< only the first so many of `valid`; 0: all
  std::string teacher;              ///< a model folder, or "": next-token loss alone
  std::optional<double> kl_weight;  ///< A; 1 with a teacher unless given
  std::string teacher_cache;        ///< folder of the teacher's answers; "": it is asked each time
  std::optional<int64_t> teacher_top_k;  ///< 64 unless given
  std::optional<double> temperature;     ///< T; 1 unless given
  TokenFormat token_format = TokenFormat::kAuto;
  DocumentOptions documents;
  Budget budget;
  int64_t seq_len = 0;  ///< 0: the model's own limit
  int64_t batch_size = 32;
  int64_t micro_batch_size = 0;  ///< 0: the whole batch at once
  std::optional<double>
      learning_rate;  ///< chosen from the model and what it has to recover unless given
  double min_learning_rate = 0;
  std::optional<int64_t>
      warmup_steps;  ///< chosen with the learning rate; 0 where only that is given
  ScheduleKind schedule = ScheduleKind::kCosine;
  AdamWOptions adamw;
  Precision precision = Precision::kFp32;
  bool activation_checkpointing = false;
  TrainScope train = TrainScope::kAll;
  double kv_lr_scale = 1.0;        ///< times the learning rate, of k and v
  int64_t checkpoint_every = 250;  ///< steps; 0: only when stopped
  int64_t keep_checkpoints = 2;
  int64_t eval_every = 0;         ///< steps; 0: at the start and at the end
  double max_minutes = 0;         ///< 0: no limit
  int64_t processes = 1;          ///< to start on this machine
  int64_t process_timeout = 600;  ///< seconds to wait for another process
  bool init_from_scratch = false;
  ResumeMode resume = ResumeMode::kAuto;
  bool overwrite = false;
  uint64_t seed = 0;
  std::string device = "auto";
  std::string recipe_text;  ///< the resolved settings, kept as OUT/recipe.toml
};

/// What can be said about the options before the model is there: values, budget, files of data.
/// @throws ConfigError FLAG_MISSING, FLAG_VALUE, BUDGET; CheckpointError for a file that cannot be read
void check_options(const UptrainOptions& options);

/// Every process takes part in every step.
/// @throws ConfigError FLAG_VALUE when a batch has fewer sequences than there are processes
void check_batch(const UptrainOptions& options, int64_t processes);

/// Settings that only make sense with a teacher, and their ranges.
/// @throws ConfigError FLAG_MISSING, FLAG_VALUE
void check_teacher_options(const UptrainOptions& options);

/// Loss of a run with a teacher, with what was not given filled in.
DistillationMix mix_of(const UptrainOptions& options);
int64_t top_k_of(const UptrainOptions& options);

}  // namespace regroup
