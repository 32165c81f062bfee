#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/damage_profile.h"
#include "regroup/results/measured.h"

namespace regroup {

inline constexpr const char* kDamageFormat = "regroup-damage/1";

/// What a conversion did to one layer.
struct DamageLayer {
  std::optional<double> key_residual;    ///< predicted share of the keys' energy that is lost
  std::optional<double> value_residual;  ///< the same of the values'
  std::optional<Measured> loss_delta;    ///< measured with this layer alone converted, nats a token
  std::optional<Measured> kl;            ///< likewise
};

/// One method at one number of KV heads, before any uptraining.
struct DamageEntry {
  std::string method;
  std::string grouping;
  int64_t n_kv_heads = 0;
  int64_t kv_bytes_per_token = 0;
  Measured loss;
  Measured loss_delta;  ///< nats a token over the parent
  Measured kl;
  Measured agreement;
  double flops = 0;  ///< of calibration
  double seconds = 0;
  std::vector<DamageLayer> layers;
  DamageProfile profile = {};
};

/// What `compare` found.
struct DamageReport {
  std::string model;
  std::string digest;
  std::string text;  ///< the name of the held-out text
  int64_t tokens = 0;
  int64_t seq_len = 0;
  int64_t layer_tokens = 0;  ///< scored for each layer alone; 0: not measured
  int64_t n_layers = 0;
  int64_t head_dim = 0;
  std::string source;  ///< what methods looked at: "weights", "statistics" or "text"
  int64_t calibration_tokens = 0;
  int64_t n_kv_heads = 0;  ///< the parent's
  int64_t kv_bytes_per_token = 0;
  Measured loss;  ///< the parent's
  std::vector<DamageEntry> entries;
};

Json damage_json(const DamageReport& report);
bool is_damage_json(const Json& json);
/// @throws CheckpointError CFG_TYPE for a value of the wrong type
DamageReport read_damage(const Json& json, const std::string& path);

/// The entry with the least loss for each number of KV heads, most heads first.
std::vector<const DamageEntry*> best_entries(const DamageReport& report);
/// The smallest number of KV heads whose best entry loses at most `nats` a token; nullptr: none does.
const DamageEntry* smallest_within(const DamageReport& report, double nats);
/// Sum of the layers' own damage, where every layer was measured alone.
std::optional<double> sum_of_layers(const DamageEntry& entry);

}  // namespace regroup
