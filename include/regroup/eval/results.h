#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/eval/probe_results.h"
#include "regroup/eval/task_results.h"
#include "regroup/eval/text_eval.h"
#include "regroup/results/evaluation.h"

namespace regroup {

/// One model of an evaluation and what is worth knowing of it.
struct EvaluatedModel {
  std::string path;
  std::string role;               ///< baseline, converted, uptrained or model
  std::string started_from = {};  ///< of an uptrained model: digest of the one it was, if known
  ModelConfig config;
  std::string dtype;   ///< computed in
  std::string digest;  ///< SHA-256 over the digests of config.json and the shards
  int64_t stored_kv_bits = 16;
};

/// A stream with the scores of every model, in the models' order.
struct EvaluatedText {
  TokenStream stream;
  WindowOptions windows;
  std::vector<TextScore> scores;
};

/// What a folder's manifest says of it.
struct ModelOrigin {
  std::string role;          ///< converted, uptrained, or just a model
  std::string started_from;  ///< digest of the model that was uptrained; "" where unknown
};
ModelOrigin origin_of(const std::string& path);

/// What models were asked beside texts.
struct EvaluatedQuestions {
  std::vector<EvaluatedTask> tasks = {};
  TaskOptions task_options = {};
  std::vector<EvaluatedProbe> probes = {};
  ProbeOptions probe_options = {};
  std::optional<ProbeText> probe_text = {};  ///< that needles were hidden in
  int64_t batch_size = 0;                    ///< requests at once; 0: about 4,096 tokens
};

/// What the models came to; evaluation_json() writes it down.
/// @param baseline  index into `models`, or -1
/// @param listed    which models to list (a baseline may only be a reference)
Evaluation make_results(const std::vector<EvaluatedModel>& models, const std::vector<bool>& listed,
                        int64_t baseline, const std::vector<EvaluatedText>& texts,
                        const EvaluatedQuestions& questions = {});

/// Writes ids int64 [n_windows, seq_len + 1] (padded with -1) and nll float32 [n_windows, seq_len]
/// (padded with NaN) as safetensors.
void write_token_nll(const std::string& path, const EvaluatedText& text, const TextScore& score);

}  // namespace regroup
