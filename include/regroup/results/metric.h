#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/results/measured.h"

namespace regroup {

enum class Direction { kUnknown, kHigherIsBetter, kLowerIsBetter };

/// A number by which a model was measured. A score is a list of them that anyone may add to: whoever shows one that he does
/// not know shows it by its name.
struct Metric {
  std::string name;             ///< "loss", "acc"
  std::string filter = "none";  ///< that answers went through before they were counted
  std::string unit = {};        ///< "nats a token"; "" where it has none, or none is known
  Direction direction = Direction::kUnknown;
  double value = 0;                  ///< NaN: there is no number
  std::optional<double> error = {};  ///< standard error
  int64_t items = 0;                 ///< that it was counted over; 0: not known
};

/// Names of what eval measures on a text.
namespace metric {
inline constexpr const char* kLoss = "loss";
inline constexpr const char* kPerplexity = "perplexity";
inline constexpr const char* kBitsPerByte = "bits_per_byte";
inline constexpr const char* kKl = "kl";
inline constexpr const char* kAgreement = "top1_agreement";
inline constexpr const char* kLossDelta = "loss_delta";
inline constexpr const char* kRecovery = "recovery";
inline constexpr const char* kKlMedian = "kl_p50";
inline constexpr const char* kKl90 = "kl_p90";
inline constexpr const char* kKl99 = "kl_p99";
inline constexpr const char* kKl999 = "kl_p999";
inline constexpr const char* kKlMax = "kl_max";
inline constexpr const char* kDeltaP = "delta_p";
inline constexpr const char* kRmsDeltaP = "rms_delta_p";
inline constexpr const char* kNllCorrelation = "nll_correlation";
inline constexpr const char* kBytePerplexity = "byte_perplexity";
inline constexpr const char* kWordPerplexity = "word_perplexity";
}  // namespace metric

/// What is known of a metric of texts.
struct TextMetric {
  std::string_view name;
  std::string_view unit;
  Direction direction = Direction::kUnknown;
  bool against_baseline = false;  ///< says nothing of the baseline itself
  bool restates = false;  ///< says in another unit what another one says: no report shows it
};
/// The known ones, in the order in which a report shows them.
std::span<const TextMetric> text_metrics();
/// nullptr: not known
const TextMetric* find_text_metric(std::string_view name);
/// With unit and direction, where they are known. An error that is not finite is none.
Metric text_metric(std::string name, double value, std::optional<double> error);

/// "acc", or "exact_match,strict-match" where answers went through a filter.
std::string metric_title(const std::string& name, const std::string& filter);
/// By metric_title(). Nothing where there is no such metric, or no number.
std::optional<Measured> find_metric(const std::vector<Metric>& metrics, std::string_view title);

}  // namespace regroup
