#include "bench_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "table.h"

namespace regroup {
namespace {

/// Models under short names, where there are several.
std::string model_names(const SpeedReport& report, std::vector<std::string>& names) {
  for (const SpeedRun& run : report.runs) {
    if (std::find(names.begin(), names.end(), run.model) == names.end()) names.push_back(run.model);
  }
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names.size() > 1) text += fmt::format("{} = ", i + 1);
    text += printable(names[i], 200) + "\n";
  }
  return text;
}

std::string rate_text(double tokens_per_s) {
  return fmt::format("{:.{}f}", tokens_per_s, tokens_per_s < 100 ? 1 : 0);
}

bool any_speed_up(const SpeedReport& report) {
  return std::any_of(report.runs.begin(), report.runs.end(),
                     [](const SpeedRun& run) { return run.speed_up.has_value(); });
}

std::vector<std::vector<std::string>> rate_table(const SpeedReport& report,
                                                 const std::vector<std::string>& names) {
  const bool several = names.size() > 1;
  const bool compared = any_speed_up(report);
  std::vector<std::vector<std::string>> rows = {{"KV heads", "batch", "context", "prefill/s",
                                                 "decode/s", "+p10", "+p90", "KV cache",
                                                 "bandwidth", "bound"}};
  if (several) rows[0].insert(rows[0].begin(), "model");
  if (compared) rows[0].insert(rows[0].end(), {"faster", "+roofline"});
  for (const SpeedRun& run : report.runs) {
    std::vector<std::string> row = {
        std::to_string(run.n_kv_heads),
        std::to_string(run.batch),
        std::to_string(run.context),
        run.prefill_tokens_per_s ? rate_text(*run.prefill_tokens_per_s) : "-",
        rate_text(run.decode.median),
        rate_text(run.decode.p10),
        rate_text(run.decode.p90),
        human_bytes(run.kv_bytes_measured),
        fmt::format("{:.0f} %", 100 * run.bandwidth_fraction),
        run.memory_bound ? "memory" : "compute"};
    if (several) {
      const auto name = std::find(names.begin(), names.end(), run.model);
      row.insert(row.begin(), std::to_string(name - names.begin() + 1));
    }
    if (compared) {
      const auto times = [](double factor) { return fmt::format("{:.2f} x", factor); };
      row.push_back(run.speed_up ? times(run.speed_up->measured) : "-");
      row.push_back(run.speed_up ? times(run.speed_up->predicted) : "-");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

bool any_other_bytes(const SpeedReport& report) {
  return std::any_of(report.runs.begin(), report.runs.end(), [](const SpeedRun& run) {
    return run.kv_bytes_computed != run.kv_bytes_measured;
  });
}

}  // namespace

std::string bench_text(const SpeedReport& report) {
  std::vector<std::string> names;
  std::string text = model_names(report, names);
  text += fmt::format("{}{}{}, {}\n", report.processor, report.processor.empty() ? "" : "; ",
                      report.device, report.dtype);
  text += fmt::format(
      "measured here: {:.3g} GB/s copied, {:.3g} GB/s read, {:.3g} GFLOP/s multiplied\n\n",
      report.copy_bytes_per_s / 1e9, report.read_bytes_per_s / 1e9, report.flops_per_s / 1e9);
  text += format_table(rate_table(report, names), names.size() > 1 ? 4 : 3);
  text += fmt::format(
      "\ntokens a second of the whole batch: medians of {} steps; bandwidth: bytes a step "
      "must\nread a second, as a share of the measured bandwidth, the larger of copied and read; "
      "what\nfits into the processor's caches may exceed it\n",
      report.new_tokens * report.repetitions);
  if (any_speed_up(report)) {
    text += "faster: than with the most KV heads, measured and as the roofline predicts\n";
  }
  if (any_other_bytes(report)) {
    text +=
        "layers with a window keep every token here; engines that keep the window alone hold "
        "less\n";
  }
  return text;
}

}  // namespace regroup
