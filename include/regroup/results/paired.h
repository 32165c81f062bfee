#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace regroup {

/// What two models did on the same items: the differences, not the means apart, are what is tested ("Adding Error Bars to
/// Evals", arXiv:2411.00640, section 4).
struct PairedDifference {
  int64_t items = 0;
  double delta = 0;  ///< mean of model - baseline
  double error = 0;  ///< standard error: of the differences, over items
  double low = 0;    ///< 95 % interval of the paired bootstrap
  double high = 0;
  std::optional<int64_t> broken;  ///< of right and wrong answers: right before and wrong now
  std::optional<int64_t> mended;  ///< wrong before and right now
  double p = 1;  ///< of no difference: McNemar's exact test, or of the normal distribution
};

struct BootstrapOptions {
  int64_t iterations = 10'000;
  uint64_t seed = 0;
};

/// @param baseline, model  values of the same items, at least two
/// @param binary           all values are 0 or 1
PairedDifference paired_difference(const std::vector<double>& baseline,
                                   const std::vector<double>& model, bool binary,
                                   const BootstrapOptions& options = {});

/// Two-sided p of `broken` against `mended` flips under equal odds (McNemar, Psychometrika 12, 1947; exact form).
double mcnemar_p(int64_t broken, int64_t mended);

/// p-values of several tests together, as large as each becomes (Holm, Scand. J. Statist. 6, 1979).
std::vector<double> holm(const std::vector<double>& p);

/// How much of a gap was closed.
struct PairedRecovery {
  bool measurable =
      false;  ///< the interval of baseline - converted holds no 0; else the rest means nothing
  double value = 0;  ///< (uptrained - converted) / (baseline - converted)
  double low = 0;    ///< 95 % interval of the joint bootstrap
  double high = 0;
  int64_t dropped = 0;  ///< resamples without a gap
};
/// All of the same items. Higher values are better.
PairedRecovery paired_recovery(const std::vector<double>& baseline,
                               const std::vector<double>& converted,
                               const std::vector<double>& uptrained,
                               const BootstrapOptions& options = {});

/// Items that a paired test of right and wrong answers needs to see a difference of `margin` (two-sided 5 %, power 80 %)
/// where a share `discordant` of the items flips (Connor, Biometrics 43, 1987); 0 where nothing flips.
int64_t items_needed(double discordant, double margin);

}  // namespace regroup
