#include <algorithm>
#include <cmath>

#include "regroup/eval/text_eval.h"

namespace regroup {
namespace {

template <typename Value>
std::vector<double> by_window(const TextScore& score, const Value& value) {
  std::vector<double> values;
  for (const WindowScore& window : score.windows) {
    values.push_back(static_cast<double>(value(window)));
  }
  return values;
}

/// The standard error of `all`, given its value without each window (the jackknife around it).
double jackknife_error(double all, const std::vector<double>& without) {
  double squares = 0;
  for (const double value : without) squares += (value - all) * (value - all);
  const auto n = static_cast<double>(without.size());
  return std::sqrt(squares * (n - 1) / n);
}

/// The root of a mean of squares; its error to first order.
Estimate root_estimate(const Estimate& squares) {
  const double root = std::sqrt(squares.value);
  return {root, squares.value == 0 ? squares.stderr_ : squares.stderr_ / (2 * root)};
}

/// Sums over tokens of two variables.
struct Moments {
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;

  /// With those of other tokens, or (times = -1) without them.
  Moments with(const Moments& b, double times) const {
    return {n + times * b.n,   x + times * b.x,   y + times * b.y,
            xx + times * b.xx, yy + times * b.yy, xy + times * b.xy};
  }
  /// Pearson's; not finite where a variable is constant.
  double correlation() const {
    return (n * xy - x * y) / std::sqrt((n * xx - x * x) * (n * yy - y * y));
  }
};

/// Of every token's nll in both models; standard error by the jackknife over windows.
Estimate nll_correlation(const TextScore& score, const TextScore& baseline) {
  Moments all;
  std::vector<Moments> windows;
  for (size_t i = 0; i < score.windows.size(); ++i) {
    const WindowScore& own = score.windows[i];
    const WindowScore& before = baseline.windows[i];
    windows.push_back({static_cast<double>(own.tokens), own.nll, before.nll, own.nll_squared,
                       before.nll_squared, own.nll_product});
    all = all.with(windows.back(), 1);
  }
  std::vector<double> without;
  for (const Moments& window : windows) without.push_back(all.with(window, -1).correlation());
  return {all.correlation(), jackknife_error(all.correlation(), without)};
}

}  // namespace

Estimate loss_estimate(const TextScore& score) {
  return ratio_estimate(by_window(score, [](const WindowScore& w) { return w.nll; }),
                        by_window(score, [](const WindowScore& w) { return w.tokens; }));
}

Fidelity fidelity(const TextScore& score, const TextScore& baseline) {
  const auto tokens = by_window(score, [](const WindowScore& w) { return w.tokens; });
  const auto ratio = [&](const std::vector<double>& sums) { return ratio_estimate(sums, tokens); };
  std::vector<double> delta = by_window(score, [](const WindowScore& w) { return w.nll; });
  for (size_t i = 0; i < delta.size(); ++i) delta[i] -= baseline.windows[i].nll;
  return {.kl = ratio(by_window(score, [](const WindowScore& w) { return w.kl; })),
          .agreement = ratio(by_window(score, [](const WindowScore& w) { return w.agreed; })),
          .loss_delta = ratio(delta),
          .delta_p = ratio(by_window(score, [](const WindowScore& w) { return w.delta_p; })),
          .rms_delta_p = root_estimate(
              ratio(by_window(score, [](const WindowScore& w) { return w.delta_p_squared; }))),
          .nll_correlation = nll_correlation(score, baseline)};
}

FidelityCurve fidelity_curve(const TextScore& score) {
  return fidelity_curve(score.kl_blocks, score.delta_p_blocks);
}

DamageProfile damage_profile(const TextScore& score, const TextScore& baseline, int64_t seq_len) {
  DamageProfile profile;
  const std::vector<int64_t> edges = position_edges(seq_len);
  for (size_t band = 0; band < score.positions.size(); ++band) {
    const WindowScore& own = score.positions[band];
    if (own.tokens == 0) continue;  // no window is so long
    const auto tokens = static_cast<double>(own.tokens);
    profile.positions.push_back({.first = edges[band],
                                 .end = edges[band + 1],
                                 .tokens = own.tokens,
                                 .loss_delta = (own.nll - baseline.positions[band].nll) / tokens,
                                 .kl = own.kl / tokens,
                                 .agreement = static_cast<double>(own.agreed) / tokens});
  }
  for (size_t w = 0; w < score.windows.size(); ++w) {
    // A few tokens at the end of a text are no window to judge by.
    if (w > 0 && score.windows[w].tokens < seq_len / 2) continue;
    const auto tokens = static_cast<double>(score.windows[w].tokens);
    profile.worst.push_back({.window = static_cast<int64_t>(w),
                             .first_token = static_cast<int64_t>(w) * seq_len,
                             .loss_before = baseline.windows[w].nll / tokens,
                             .loss = score.windows[w].nll / tokens});
  }
  profile.windows = static_cast<int64_t>(profile.worst.size());
  profile.collapsed =
      std::count_if(profile.worst.begin(), profile.worst.end(),
                    [](const WindowDamage& w) { return !(w.rise() <= kCollapseNats); });
  std::stable_sort(profile.worst.begin(), profile.worst.end(),
                   [](const auto& a, const auto& b) { return a.rise() > b.rise(); });
  if (profile.worst.size() > kWorstWindows) profile.worst.resize(kWorstWindows);
  return profile;
}

Estimate recovery_estimate(const TextScore& baseline, const TextScore& converted,
                           const TextScore& uptrained) {
  const size_t n = baseline.windows.size();
  double closed = 0;
  double gap = 0;
  std::vector<double> closed_by(n);
  std::vector<double> gap_by(n);
  for (size_t i = 0; i < n; ++i) {
    closed_by[i] = converted.windows[i].nll - uptrained.windows[i].nll;
    gap_by[i] = converted.windows[i].nll - baseline.windows[i].nll;
    closed += closed_by[i];
    gap += gap_by[i];
  }
  const double recovery = closed / gap;
  std::vector<double> without;
  for (size_t i = 0; i < n; ++i) {
    without.push_back((closed - closed_by[i]) / (gap - gap_by[i]));
  }
  return {recovery, jackknife_error(recovery, without)};
}

}  // namespace regroup
