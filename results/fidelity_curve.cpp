#include "regroup/results/fidelity_curve.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/results/estimate.h"

namespace regroup {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

/// What 97.5 % of Student's distribution lie below.
double student_t(size_t blocks) {
  const boost::math::students_t_distribution<double> student(static_cast<double>(blocks) - 1);
  return quantile(student, 0.975);
}

QuantileEstimate estimate_quantile(const std::vector<Histogram>& blocks, const Histogram& all,
                                   double share) {
  QuantileEstimate estimate;
  estimate.value = all.quantile(share);
  if (!(share > 0 && share < 1) || blocks.size() < 2 || std::isnan(estimate.value)) return estimate;
  const Histogram::Place place = all.place_of(share);
  std::vector<double> below;
  std::vector<double> tokens;
  for (const Histogram& block : blocks) {
    below.push_back(block.count_below(place));
    tokens.push_back(static_cast<double>(block.count()));
  }
  const double t = student_t(blocks.size());
  const double reach = t * ratio_estimate(below, tokens).stderr_;
  if (share - reach > 0) estimate.low = all.quantile(share - reach);
  if (share + reach < 1) estimate.high = all.quantile(share + reach);
  estimate.error = estimate.low == estimate.high ? 0 : (estimate.high - estimate.low) / (2 * t);
  return estimate;
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

template <typename Part>
Json list_of(const std::vector<QuantileEstimate>& estimates, const Part& part) {
  Json list = Json::array();
  for (const QuantileEstimate& estimate : estimates) list.push_back(number_or_null(estimate.*part));
  return list;
}

void put_quantiles(Json& json, const std::string& name,
                   const std::vector<QuantileEstimate>& estimates) {
  json[name] = list_of(estimates, &QuantileEstimate::value);
  json[name + "_low"] = list_of(estimates, &QuantileEstimate::low);
  json[name + "_high"] = list_of(estimates, &QuantileEstimate::high);
}

/// The list `key`; `absent` times NaN where it is absent.
std::vector<double> numbers_in(const Json& json, const std::string& key, size_t absent,
                               const std::string& path) {
  const auto found = json.find(key);
  if (found == json.end()) return std::vector<double>(absent, kNoNumber);
  std::vector<double> numbers;
  for (const Json& number : found->is_array() ? *found : Json::array({"no list"})) {
    if (!number.is_number() && !number.is_null()) {
      throw CheckpointError({.code = "CFG_TYPE",
                             .message = "\"" + key + "\" must be a list of numbers and null",
                             .path = path});
    }
    numbers.push_back(number.is_null() ? kNoNumber : number.get<double>());
  }
  return numbers;
}

std::vector<QuantileEstimate> quantiles_in(const Json& json, const std::string& name, size_t count,
                                           const std::string& path) {
  if (!json.contains(name)) return {};
  const std::vector<double> value = numbers_in(json, name, count, path);
  const std::vector<double> low = numbers_in(json, name + "_low", count, path);
  const std::vector<double> high = numbers_in(json, name + "_high", count, path);
  if (value.size() != count || low.size() != count || high.size() != count) {
    throw CheckpointError(
        {.code = "CFG_TYPE",
         .message = "\"" + name + "\" must be as long as \"quantiles\", as must its intervals",
         .path = path});
  }
  std::vector<QuantileEstimate> estimates;
  for (size_t i = 0; i < count; ++i) {
    estimates.push_back({.value = value[i], .error = kNoNumber, .low = low[i], .high = high[i]});
  }
  return estimates;
}

}  // namespace

size_t fidelity_blocks(int64_t n_windows) {
  return static_cast<size_t>(std::clamp<int64_t>(n_windows, 0, kFidelityBlocks));
}

size_t fidelity_block(int64_t window, int64_t n_windows) {
  const auto blocks = static_cast<int64_t>(fidelity_blocks(n_windows));
  return static_cast<size_t>(window * blocks / n_windows);
}

std::vector<QuantileEstimate> quantile_estimates(const std::vector<Histogram>& blocks,
                                                 const std::vector<double>& shares) {
  Histogram all;
  for (const Histogram& block : blocks) all.add(block);
  std::vector<QuantileEstimate> estimates;
  for (const double share : shares) estimates.push_back(estimate_quantile(blocks, all, share));
  return estimates;
}

QuantileEstimate FidelityCurve::at(const std::vector<QuantileEstimate>& list, double share) const {
  const auto found = std::find(shares.begin(), shares.end(), share);
  const auto place = static_cast<size_t>(found - shares.begin());
  return place < list.size() ? list[place] : QuantileEstimate();
}

FidelityCurve fidelity_curve(const std::vector<Histogram>& kl,
                             const std::vector<Histogram>& delta_p) {
  FidelityCurve curve;
  for (const Histogram& block : kl) curve.tokens += block.count();
  curve.shares.assign(kFidelityShares.begin(), kFidelityShares.end());
  curve.kl = quantile_estimates(kl, curve.shares);
  curve.delta_p = quantile_estimates(delta_p, curve.shares);
  return curve;
}

Json fidelity_curve_json(const FidelityCurve& curve) {
  Json json = {{"tokens", curve.tokens}, {"quantiles", curve.shares}};
  put_quantiles(json, "kl", curve.kl);
  put_quantiles(json, "delta_p", curve.delta_p);
  return json;
}

FidelityCurve read_fidelity_curve(const Json& json, const std::string& path) {
  FidelityCurve curve;
  if (!json.contains("quantiles")) return curve;
  curve.tokens = JsonFields(json, path).integer("tokens", 0, INT64_MAX).value_or(0);
  curve.shares = numbers_in(json, "quantiles", 0, path);
  curve.kl = quantiles_in(json, "kl", curve.shares.size(), path);
  curve.delta_p = quantiles_in(json, "delta_p", curve.shares.size(), path);
  return curve;
}

}  // namespace regroup
