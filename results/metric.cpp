#include "regroup/results/metric.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace regroup {
namespace {

constexpr std::string_view kNats = "nats a token";

constexpr auto kTextMetrics = std::to_array<TextMetric>({
    {.name = metric::kLoss, .unit = kNats, .direction = Direction::kLowerIsBetter},
    {.name = metric::kPerplexity, .unit = "", .direction = Direction::kLowerIsBetter},
    {.name = metric::kBitsPerByte, .unit = "bits a byte", .direction = Direction::kLowerIsBetter},
    {.name = metric::kKl,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kAgreement,
     .unit = "share of tokens",
     .direction = Direction::kHigherIsBetter,
     .against_baseline = true},
    {.name = metric::kLossDelta,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kRecovery,
     .unit = "share of the gap",
     .direction = Direction::kHigherIsBetter,
     .against_baseline = true},
    {.name = metric::kKlMedian,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kKl90,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kKl99,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kKl999,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kKlMax,
     .unit = kNats,
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kDeltaP,
     .unit = "probability",
     .direction = Direction::kHigherIsBetter,
     .against_baseline = true},
    {.name = metric::kRmsDeltaP,
     .unit = "probability",
     .direction = Direction::kLowerIsBetter,
     .against_baseline = true},
    {.name = metric::kNllCorrelation,
     .unit = "",
     .direction = Direction::kHigherIsBetter,
     .against_baseline = true},
    {.name = metric::kBytePerplexity,
     .unit = "",
     .direction = Direction::kLowerIsBetter,
     .restates = true},
    {.name = metric::kWordPerplexity,
     .unit = "",
     .direction = Direction::kLowerIsBetter,
     .restates = true},
});

}  // namespace

std::span<const TextMetric> text_metrics() { return kTextMetrics; }

const TextMetric* find_text_metric(std::string_view name) {
  const auto found = std::find_if(kTextMetrics.begin(), kTextMetrics.end(),
                                  [&](const TextMetric& known) { return known.name == name; });
  return found == kTextMetrics.end() ? nullptr : &*found;
}

Metric text_metric(std::string name, double value, std::optional<double> error) {
  Metric measured{.name = std::move(name), .value = value};
  if (error && std::isfinite(*error)) measured.error = error;
  if (const TextMetric* known = find_text_metric(measured.name)) {
    measured.unit = known->unit;
    measured.direction = known->direction;
  }
  return measured;
}

std::optional<Measured> find_metric(const std::vector<Metric>& metrics, std::string_view title) {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& known) {
    return std::isfinite(known.value) && metric_title(known.name, known.filter) == title;
  });
  if (found == metrics.end()) return std::nullopt;
  return Measured{found->value, found->error};
}

std::string metric_title(const std::string& name, const std::string& filter) {
  return filter == "none" ? name : name + "," + filter;
}

}  // namespace regroup
