#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

inline constexpr const char* kPlanFormat = "regroup plan/1";

/// What one of several devices holds.
struct PlanDevice {
  int64_t n_kv_heads = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;
  std::optional<int64_t> weight_bytes = {};
  std::optional<int64_t> total_bytes = {};
  bool divides = true;
};

/// What bounds a decode step.
struct PlanRoofline {
  double bytes = 0;
  double flops = 0;
  double seconds = 0;
  double tokens_per_s = 0;
  bool memory_bound = true;
};

/// What the conversion was measured to cost.
struct PlanDamage {
  std::string method;
  double loss_delta = 0;  ///< nats a token
  double kl = 0;          ///< likewise
};

/// One number of KV heads.
struct PlanOption {
  int64_t n_kv_heads = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;                      ///< at the context and batch asked for
  std::optional<int64_t> weight_bytes = {};  ///< where the plan knows them
  std::optional<int64_t> total_bytes = {};
  std::optional<bool> fits = {};
  std::optional<int64_t> max_batch = {};
  std::optional<int64_t> max_context = {};
  std::optional<int64_t> group_size = {};  ///< query heads that read a KV head
  std::optional<int64_t> n_params = {};
  std::optional<PlanDevice> device = {};  ///< where there are several
  std::optional<PlanRoofline> roofline = {};
  std::optional<PlanDamage> damage = {};
};

/// The model as it is.
struct PlanModel {
  std::string family;
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t hidden_size = 0;
  std::optional<int64_t> vocab_size = {};
  std::optional<int64_t> n_params = {};
  std::optional<int64_t> weight_bytes = {};
  std::vector<std::string> attention = {};  ///< [layers] its kind
};

/// The fewest KV heads that cost no more than the user allows.
struct PlanLimit {
  double max_loss_increase = 0;
  std::optional<int64_t> smallest_kv_heads = {};
};

/// What the KV cache needs at the user's context and batch.
struct PlanResult {
  std::string architecture;
  int64_t n_kv_heads = 0;  ///< of the model as it is
  int64_t context = 0;
  int64_t batch = 0;
  std::string kv_dtype;
  std::optional<int64_t> gpu_memory_bytes = {};
  std::optional<int64_t> recommended = {};
  std::string why = {};
  std::vector<std::string> warnings = {};
  std::vector<PlanOption> options = {};
  PlanModel model = {};
  int64_t devices = 1;
  int64_t reserve_bytes = 0;
  std::string gpu = {};         ///< "" where none was named
  std::string damage_why = {};  ///< of measured costs
  std::optional<PlanLimit> limit = {};
};

Json plan_result_json(const PlanResult& plan);
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
PlanResult read_plan(const Json& json, const std::string& path);

}  // namespace regroup
