#include "regroup/results/damage.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/results/fields.h"

namespace regroup {
namespace {

void put_measured(Json& json, const std::string& key, const Measured& measured) {
  json[key] = measured.value;
  json[key + "_stderr"] =
      measured.error && std::isfinite(*measured.error) ? Json(*measured.error) : Json();
}

void put_known(Json& json, const std::string& key, const std::optional<double>& value) {
  if (value) json[key] = *value;
}

Json layer_json(const DamageLayer& layer) {
  Json json = Json::object();
  put_known(json, "key_residual", layer.key_residual);
  put_known(json, "value_residual", layer.value_residual);
  if (layer.loss_delta) put_measured(json, "alone_loss_delta", *layer.loss_delta);
  if (layer.kl) put_measured(json, "alone_kl", *layer.kl);
  return json;
}

Json damage_entry_json(const DamageEntry& entry) {
  Json json = {{"method", entry.method},         {"grouping", entry.grouping},
               {"n_kv_heads", entry.n_kv_heads}, {"kv_bytes_per_token", entry.kv_bytes_per_token},
               {"flops", entry.flops},           {"seconds", entry.seconds},
               {"layers", Json::array()}};
  put_measured(json, "loss", entry.loss);
  put_measured(json, "loss_delta", entry.loss_delta);
  put_measured(json, "kl", entry.kl);
  put_measured(json, "top1_agreement", entry.agreement);
  for (const DamageLayer& layer : entry.layers) json["layers"].push_back(layer_json(layer));
  json.update(damage_profile_json(entry.profile));
  return json;
}

std::optional<Measured> optional_measured(const JsonFields& fields, const std::string& key) {
  const std::optional<double> value = fields.number(key.c_str());
  if (!value) return std::nullopt;
  return Measured{*value, fields.number((key + "_stderr").c_str())};
}

/// What no entry can do without: read as 0 it would cost nothing.
Measured required(const JsonFields& fields, const std::string& key, const std::string& path) {
  const std::optional<Measured> found = optional_measured(fields, key);
  if (found) return *found;
  throw CheckpointError({.code = "CFG_TYPE",
                         .message = "every \"" + key + "\" must be a number",
                         .path = path,
                         .hint = "give the file that `regroup compare` wrote"});
}

/// Likewise: a list that must be there.
const Json& required_list(const Json& json, const char* key, const std::string& path) {
  if (json.contains(key) && json[key].is_array()) return objects_in(json, key, path);
  wrong_type(path, "\"" + std::string(key) + "\" must be a list of objects");
}

DamageLayer read_layer(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.key_residual = fields.number("key_residual"),
          .value_residual = fields.number("value_residual"),
          .loss_delta = optional_measured(fields, "alone_loss_delta"),
          .kl = optional_measured(fields, "alone_kl")};
}

DamageEntry read_entry(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  DamageEntry entry{.method = fields.string("method").value_or(""),
                    .grouping = fields.string("grouping").value_or(""),
                    .n_kv_heads = fields.integer("n_kv_heads", 1, INT64_MAX).value_or(0),
                    .kv_bytes_per_token = count_of(fields, "kv_bytes_per_token"),
                    .loss = required(fields, "loss", path),
                    .loss_delta = required(fields, "loss_delta", path),
                    .kl = required(fields, "kl", path),
                    .agreement = required(fields, "top1_agreement", path),
                    .flops = fields.number("flops").value_or(0),
                    .seconds = fields.number("seconds").value_or(0),
                    .layers = {},
                    .profile = read_damage_profile(json, path)};
  if (entry.n_kv_heads == 0) required(fields, "n_kv_heads", path);
  for (const Json& layer : required_list(json, "layers", path)) {
    entry.layers.push_back(read_layer(layer, path));
  }
  return entry;
}

}  // namespace

Json damage_json(const DamageReport& report) {
  Json json = {{"format", kDamageFormat},
               {"model", report.model},
               {"digest", report.digest},
               {"text", report.text},
               {"tokens", report.tokens},
               {"seq_len", report.seq_len},
               {"layer_tokens", report.layer_tokens},
               {"source", report.source},
               {"calibration_tokens", report.calibration_tokens},
               {"parent",
                {{"n_layers", report.n_layers},
                 {"head_dim", report.head_dim},
                 {"n_kv_heads", report.n_kv_heads},
                 {"kv_bytes_per_token", report.kv_bytes_per_token}}},
               {"damage", Json::array()}};
  put_measured(json["parent"], "loss", report.loss);
  for (const DamageEntry& entry : report.entries)
    json["damage"].push_back(damage_entry_json(entry));
  return json;
}

bool is_damage_json(const Json& json) {
  const auto found = json.find("format");
  return found != json.end() && *found == kDamageFormat;
}

DamageReport read_damage(const Json& json, const std::string& path) {
  require_format(json, kDamageFormat, path);
  const JsonFields fields(json, path);
  const JsonFields about(object_in(json, "parent", path), path);
  DamageReport report{.model = fields.string("model").value_or(""),
                      .digest = fields.string("digest").value_or(""),
                      .text = fields.string("text").value_or(""),
                      .tokens = count_of(fields, "tokens"),
                      .seq_len = count_of(fields, "seq_len"),
                      .layer_tokens = count_of(fields, "layer_tokens"),
                      .n_layers = count_of(about, "n_layers"),
                      .head_dim = count_of(about, "head_dim"),
                      .source = fields.string("source").value_or(""),
                      .calibration_tokens = count_of(fields, "calibration_tokens"),
                      .n_kv_heads = count_of(about, "n_kv_heads"),
                      .kv_bytes_per_token = count_of(about, "kv_bytes_per_token"),
                      .loss = required(about, "loss", path),
                      .entries = {}};
  for (const Json& entry : required_list(json, "damage", path)) {
    report.entries.push_back(read_entry(entry, path));
  }
  return report;
}

std::vector<const DamageEntry*> best_entries(const DamageReport& report) {
  std::vector<const DamageEntry*> best;
  for (const DamageEntry& entry : report.entries) {
    const auto same = std::find_if(best.begin(), best.end(), [&](const DamageEntry* known) {
      return known->n_kv_heads == entry.n_kv_heads;
    });
    if (same == best.end()) {
      best.push_back(&entry);
    } else if (entry.loss.value < (*same)->loss.value) {
      *same = &entry;
    }
  }
  std::sort(best.begin(), best.end(),
            [](const auto* a, const auto* b) { return a->n_kv_heads > b->n_kv_heads; });
  return best;
}

const DamageEntry* smallest_within(const DamageReport& report, double nats) {
  const DamageEntry* smallest = nullptr;
  for (const DamageEntry* entry : best_entries(report)) {
    if (entry->loss_delta.value <= nats) smallest = entry;
  }
  return smallest;
}

std::optional<double> sum_of_layers(const DamageEntry& entry) {
  if (entry.layers.empty()) return std::nullopt;
  double sum = 0;
  for (const DamageLayer& layer : entry.layers) {
    if (!layer.loss_delta) return std::nullopt;
    sum += layer.loss_delta->value;
  }
  return sum;
}

}  // namespace regroup
