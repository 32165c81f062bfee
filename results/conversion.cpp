#include "regroup/results/conversion.h"

#include <nlohmann/json.hpp>

namespace regroup {
namespace {

void put_dry_run(Json& json, const DryRun& dry_run) {
  json["dry_run"] = true;
  json["peak_memory_bytes"] = dry_run.peak_memory_bytes;
  json["files"] = Json::array();
  for (const auto& [name, bytes] : dry_run.files) {
    json["files"].push_back({{"path", name}, {"bytes", bytes}});
  }
}

DryRun read_dry_run(const Json& json, const std::string& path) {
  DryRun dry_run{.peak_memory_bytes = count_of(JsonFields(json, path), "peak_memory_bytes")};
  for (const Json& file : objects_in(json, "files", path)) {
    const JsonFields fields(file, path);
    dry_run.files.emplace_back(text_of(fields, "path"), count_of(fields, "bytes"));
  }
  return dry_run;
}

}  // namespace

Json conversion_result_json(const ConversionResult& result) {
  Json json = {
      {"format", kConversionFormat},
      {"model", result.model},
      {"out", result.out},
      {"family", result.family},
      {"written_as", result.written_as},
      {"method", result.method},
      {"n_kv_heads", {{"before", result.kv_heads_before}, {"after", result.kv_heads_after}}},
      {"tensors", {{"copied", result.tensors_copied}, {"changed", result.tensors_changed}}},
      {"bytes", {{"read", result.read_bytes}, {"written", result.written_bytes}}}};
  if (result.dry_run) put_dry_run(json, *result.dry_run);
  if (result.cost) {
    json["seconds"] = result.cost->seconds;
    json["peak_rss_bytes"] = result.cost->peak_rss_bytes;
    json["digests"] = Json::object();
  }
  for (const auto& [file, digest] : result.digests) json["digests"][file] = digest;
  if (result.calibration_tokens > 0) {
    json["calibration"] = {{"tokens", result.calibration_tokens},
                           {"flops", result.calibration_flops}};
  }
  if (result.resumed_files > 0) json["resumed_files"] = result.resumed_files;
  if (result.gains) {
    json["gains"] = {{"logit", result.gains->logit}, {"output", result.gains->output}};
  }
  return json;
}

ConversionResult read_conversion(const Json& json, const std::string& path) {
  require_format(json, kConversionFormat, path);
  const JsonFields fields(json, path);
  const JsonFields heads(object_in(json, "n_kv_heads", path), path);
  const JsonFields tensors(object_in(json, "tensors", path), path);
  const JsonFields bytes(object_in(json, "bytes", path), path);
  const JsonFields calibration(object_in(json, "calibration", path), path);
  ConversionResult result{.model = text_of(fields, "model"),
                          .out = text_of(fields, "out"),
                          .family = text_of(fields, "family"),
                          .written_as = text_of(fields, "written_as"),
                          .method = text_of(fields, "method"),
                          .kv_heads_before = count_of(heads, "before"),
                          .kv_heads_after = count_of(heads, "after"),
                          .tensors_copied = count_of(tensors, "copied"),
                          .tensors_changed = count_of(tensors, "changed"),
                          .read_bytes = count_of(bytes, "read"),
                          .written_bytes = count_of(bytes, "written"),
                          .digests = named_texts(object_in(json, "digests", path)),
                          .calibration_tokens = count_of(calibration, "tokens"),
                          .calibration_flops = calibration.number("flops").value_or(0),
                          .resumed_files = count_of(fields, "resumed_files")};
  if (fields.boolean("dry_run") == true) result.dry_run = read_dry_run(json, path);
  if (const auto seconds = fields.number("seconds")) {
    result.cost =
        ConversionCost{.seconds = *seconds, .peak_rss_bytes = count_of(fields, "peak_rss_bytes")};
  }
  const Json& gains = object_in(json, "gains", path);
  if (gains.empty()) return result;
  const JsonFields on(gains, path);
  result.gains = ConversionGains{.logit = on.boolean("logit").value_or(false),
                                 .output = on.boolean("output").value_or(false)};
  return result;
}

}  // namespace regroup
