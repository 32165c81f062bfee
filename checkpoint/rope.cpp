#include "regroup/checkpoint/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace regroup {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

double llama3_frequency(const RopeConfig& rope, double base) {
  const double wavelength = kTwoPi / base;
  const auto original = static_cast<double>(rope.original_max_positions);
  if (wavelength > original / rope.low_freq_factor) return base / rope.factor;
  if (wavelength < original / rope.high_freq_factor) return base;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * base / rope.factor + smooth * base;
}

/// The planes [low, high] over which yarn blends from the original to the stretched frequency.
struct YarnRamp {
  double low;
  double high;
};

YarnRamp yarn_ramp(const RopeConfig& rope, int64_t rotary_dim) {
  const auto r = static_cast<double>(rotary_dim);
  const auto original = static_cast<double>(rope.original_max_positions);
  const auto plane_of = [&](double rotations) {
    return r * std::log(original / (rotations * kTwoPi)) / (2 * std::log(rope.theta));
  };
  double low = plane_of(rope.beta_fast);
  double high = plane_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, r - 1);
  return {low, low == high ? high + 0.001 : high};
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t rotary_dim, int64_t seq_len,
                                     int64_t max_positions) {
  const auto r = static_cast<double>(rotary_dim);
  double theta = rope.theta;
  if (rope.kind == RopeKind::kDynamic && seq_len > max_positions) {
    const double stretch = static_cast<double>(seq_len) / static_cast<double>(max_positions);
    theta *= std::pow(rope.factor * stretch - (rope.factor - 1), r / (r - 2));
  }
  std::vector<double> frequencies(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double base = std::pow(theta, -2.0 * static_cast<double>(i) / r);
    switch (rope.kind) {
      case RopeKind::kDefault:
      case RopeKind::kDynamic:
        frequencies[i] = base;
        break;
      case RopeKind::kLinear:
        frequencies[i] = base / rope.factor;
        break;
      case RopeKind::kLongRope:
        frequencies[i] = base / (seq_len > rope.original_max_positions ? rope.long_factor
                                                                       : rope.short_factor)[i];
        break;
      case RopeKind::kLlama3:
        frequencies[i] = llama3_frequency(rope, base);
        break;
      case RopeKind::kYarn: {
        const YarnRamp ramp = yarn_ramp(rope, rotary_dim);
        const double t = (static_cast<double>(i) - ramp.low) / (ramp.high - ramp.low);
        const double blend = std::clamp(t, 0.0, 1.0);
        frequencies[i] = base / rope.factor * blend + base * (1 - blend);
        break;
      }
    }
  }
  return frequencies;
}

}  // namespace regroup
