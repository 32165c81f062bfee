#include "regroup/results/paired.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <string>
#include <thread>
#include <tuple>

#include "regroup/base/processors.h"
#include "regroup/base/uniform_stream.h"

namespace regroup {
namespace {

constexpr int64_t kChunk = 250;  // resamples with a stream of their own

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Calls `use(resample, indices)` for each resample of [0, n), on all processors; what is drawn does not depend on them.
template <typename Use>
void resample(size_t n, const BootstrapOptions& options, const Use& use) {
  const int64_t chunks = (options.iterations + kChunk - 1) / kChunk;
  const auto run = [&](int64_t first, int64_t step) {
    std::vector<size_t> indices(n);
    for (int64_t c = first; c < chunks; c += step) {
      UniformStream random(options.seed, "bootstrap:" + std::to_string(c));
      const int64_t end = std::min(options.iterations, (c + 1) * kChunk);
      for (int64_t r = c * kChunk; r < end; ++r) {
        for (size_t& i : indices) {
          i = std::min(n - 1, static_cast<size_t>(random.next() * static_cast<double>(n)));
        }
        use(static_cast<size_t>(r), indices);
      }
    }
  };
  const int64_t threads = std::clamp<int64_t>(usable_threads(), 1, std::max<int64_t>(1, chunks));
  std::vector<std::jthread> others;
  for (int64_t t = 1; t < threads; ++t) {
    others.emplace_back([&run, t, threads] { run(t, threads); });
  }
  run(0, threads);
}

/// The value below which a share of the sorted values lies, interpolated.
double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result(a.size());
  for (size_t i = 0; i < a.size(); ++i) result[i] = a[i] - b[i];
  return result;
}

/// 95 % interval of the mean of `values`.
std::pair<double, double> interval(const std::vector<double>& values,
                                   const BootstrapOptions& options) {
  std::vector<double> means(static_cast<size_t>(options.iterations));
  resample(values.size(), options, [&](size_t r, const std::vector<size_t>& indices) {
    double sum = 0;
    for (const size_t i : indices) sum += values[i];
    means[r] = sum / static_cast<double>(values.size());
  });
  std::sort(means.begin(), means.end());
  return {quantile(means, 0.025), quantile(means, 0.975)};
}

}  // namespace

double mcnemar_p(int64_t broken, int64_t mended) {
  const int64_t n = broken + mended;
  if (n == 0) return 1;
  const boost::math::binomial_distribution<double> odds(static_cast<double>(n), 0.5);
  return std::min(1.0, 2 * cdf(odds, static_cast<double>(std::min(broken, mended))));
}

PairedDifference paired_difference(const std::vector<double>& baseline,
                                   const std::vector<double>& model, bool binary,
                                   const BootstrapOptions& options) {
  const std::vector<double> d = differences(model, baseline);
  PairedDifference result;
  result.items = static_cast<int64_t>(d.size());
  const auto n = static_cast<double>(d.size());
  result.delta = mean_of(d);
  double squares = 0;
  for (const double value : d) squares += (value - result.delta) * (value - result.delta);
  result.error = std::sqrt(squares / (n - 1) / n);
  std::tie(result.low, result.high) = interval(d, options);
  if (binary) {
    result.broken = std::count(d.begin(), d.end(), -1.0);
    result.mended = std::count(d.begin(), d.end(), 1.0);
    result.p = mcnemar_p(*result.broken, *result.mended);
  } else if (result.error > 0) {
    const boost::math::normal_distribution<double> normal;
    result.p = 2 * cdf(complement(normal, std::abs(result.delta) / result.error));
  } else if (result.delta != 0) {
    result.p = 0;  // every item differs by the same
  }
  return result;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const double value = static_cast<double>(p.size() - rank) * p[order[rank]];
    largest = std::max(largest, std::min(1.0, value));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

PairedRecovery paired_recovery(const std::vector<double>& baseline,
                               const std::vector<double>& converted,
                               const std::vector<double>& uptrained,
                               const BootstrapOptions& options) {
  const std::vector<double> gap = differences(baseline, converted);
  const std::vector<double> closed = differences(uptrained, converted);
  PairedRecovery result;
  result.value = mean_of(closed) / mean_of(gap);
  const auto [low, high] = interval(gap, options);
  result.measurable = low > 0 || high < 0;
  if (!result.measurable) return result;
  constexpr double kNoGap = 1e-12;
  std::vector<double> ratios(static_cast<size_t>(options.iterations));
  resample(gap.size(), options, [&](size_t r, const std::vector<size_t>& indices) {
    double closed_sum = 0;
    double gap_sum = 0;
    for (const size_t i : indices) {
      closed_sum += closed[i];
      gap_sum += gap[i];
    }
    ratios[r] = std::abs(gap_sum) < kNoGap ? std::nan("") : closed_sum / gap_sum;
  });
  const auto end =
      std::remove_if(ratios.begin(), ratios.end(), [](double x) { return std::isnan(x); });
  result.dropped = ratios.end() - end;
  ratios.erase(end, ratios.end());
  std::sort(ratios.begin(), ratios.end());
  result.low = quantile(ratios, 0.025);
  result.high = quantile(ratios, 0.975);
  return result;
}

int64_t items_needed(double discordant, double margin) {
  if (discordant <= 0) return 0;
  const double rest = std::max(0.0, discordant - margin * margin);
  const double root = 1.96 * std::sqrt(discordant) + 0.84 * std::sqrt(rest);
  return static_cast<int64_t>(std::ceil(root * root / (margin * margin)));
}

}  // namespace regroup
