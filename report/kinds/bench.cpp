// How fast models prefill and decode, from bench.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

void add_speeds(const Json& json, const std::string& path, ReportData& data) {
  data.speeds.push_back(read_speed(json, path));
}

Json speeds_json(const ReportData& data) { return list_json(data.speeds, speed_json); }

std::string speeds_csv(const ReportData& data) {
  std::string text;
  for (const SpeedReport& report : data.speeds) {
    for (const SpeedRun& run : report.runs) {
      const auto line = [&](const char* metric, double value) {
        text += csv_line({.section = "speed",
                          .model = run.model + " batch " + std::to_string(run.batch),
                          .n_kv_heads = run.n_kv_heads,
                          .metric = metric,
                          .x = std::to_string(run.context),
                          .value = csv_number(value),
                          .n = std::to_string(report.new_tokens * report.repetitions)});
      };
      line("decode_tokens_per_s", run.decode.median);
      line("decode_tokens_per_s_p10", run.decode.p10);
      line("decode_tokens_per_s_p90", run.decode.p90);
      if (run.prefill_tokens_per_s) line("prefill_tokens_per_s", *run.prefill_tokens_per_s);
      line("roofline_tokens_per_s", run.roofline_tokens_per_s);
      line("bandwidth_fraction", run.bandwidth_fraction);
      line("kv_bytes_measured", static_cast<double>(run.kv_bytes_measured));
      if (run.speed_up) line("speed_up", run.speed_up->measured);
      if (run.speed_up) line("speed_up_predicted", run.speed_up->predicted);
    }
  }
  return text;
}

}  // namespace

const ResultKind kinds::bench{.name = "bench",
                              .format = kSpeedFormat,
                              .add = add_speeds,
                              .key = "speeds",
                              .json = speeds_json,
                              .csv = speeds_csv};

}  // namespace regroup
