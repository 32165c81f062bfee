#include "regroup/convert/head_transform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "regroup/checkpoint/error.h"

namespace regroup {
namespace {

bool is_identity_permutation(const std::vector<int64_t>& permutation) {
  for (size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

bool all_identity(const std::vector<HeadMatrix>& matrices) {
  return std::all_of(matrices.begin(), matrices.end(),
                     [](const HeadMatrix& m) { return m.is_identity(); });
}

bool all_one(const std::vector<double>& gains) {
  return std::all_of(gains.begin(), gains.end(), [](double gain) { return gain == 1.0; });
}

constexpr double kRoundingShare = 1e-9;  // of a matrix' largest entry

/// The first entry that keeps `matrix` from being one complex number a rotary plane.
std::optional<std::pair<size_t, size_t>> entry_against_rope(const HeadMatrix& matrix, size_t d) {
  if (matrix.dense.empty()) return std::nullopt;
  const auto at = [&](size_t row, size_t column) { return matrix.dense[row * d + column]; };
  double largest = 0;
  for (const double x : matrix.dense) largest = std::max(largest, std::abs(x));
  const size_t half = d / 2;
  for (size_t row = 0; row < d; ++row) {
    for (size_t column = 0; column < d; ++column) {
      double wanted = 0;
      if (row % half == column % half) {
        const double twin = at((row + half) % d, (column + half) % d);
        wanted = row == column ? twin : -twin;
      }
      // Written so that NaN is a fault.
      if (!(std::abs(at(row, column) - wanted) <= kRoundingShare * largest)) return {{row, column}};
    }
  }
  return std::nullopt;
}

}  // namespace

bool LayerTransform::changes_queries() const {
  return !is_identity_permutation(permutation) || !all_identity(decode_key) || !all_one(logit_gain);
}

bool LayerTransform::changes_outputs() const {
  return !is_identity_permutation(permutation) || !all_identity(decode_value) ||
         !all_one(output_gain);
}

bool LayerTransform::changes_keys_or_values() const {
  return !is_identity_permutation(permutation) || !all_identity(encode_key) ||
         !all_identity(encode_value) || divisor != 1.0 || redraw;
}

LayerTransform identity_transform(const ModelConfig& config) {
  const auto kv_heads = static_cast<size_t>(config.n_kv_heads);
  const auto heads = static_cast<size_t>(config.n_heads);
  LayerTransform transform;
  transform.permutation.resize(kv_heads);
  std::iota(transform.permutation.begin(), transform.permutation.end(), int64_t{0});
  transform.encode_key.resize(kv_heads);
  transform.encode_value.resize(kv_heads);
  transform.decode_key.resize(kv_heads);
  transform.decode_value.resize(kv_heads);
  transform.logit_gain.assign(heads, 1.0);
  transform.output_gain.assign(heads, 1.0);
  return transform;
}

void check_transform(const LayerTransform& transform, const ModelConfig& config, int64_t layer) {
  const auto kv_heads = static_cast<size_t>(config.n_kv_heads);
  const auto heads = static_cast<size_t>(config.n_heads);
  const auto require = [](bool holds, const std::string& rule) {
    if (!holds) throw ConfigError({.code = "TRANSFORM", .message = rule});
  };
  std::vector<int64_t> sorted = transform.permutation;
  std::sort(sorted.begin(), sorted.end());
  require(sorted.size() == kv_heads && is_identity_permutation(sorted),
          fmt::format("a permutation of {} heads must name each once", kv_heads));
  require(transform.logit_gain.size() == heads && transform.output_gain.size() == heads,
          fmt::format("gains must be given for {} query heads", heads));
  require(transform.divisor != 0.0, "the divisor of a group must not be 0");
  const auto square = static_cast<size_t>(config.head_dim * config.head_dim);
  for (const auto* matrices : {&transform.encode_key, &transform.encode_value,
                               &transform.decode_key, &transform.decode_value}) {
    require(matrices->size() == kv_heads,
            fmt::format("matrices must be given for {} heads", kv_heads));
    for (const HeadMatrix& matrix : *matrices) {
      require(matrix.dense.empty() || matrix.dense.size() == square,
              fmt::format("a dense head matrix must have {} entries, found {}", square,
                          matrix.dense.size()));
    }
  }
  const auto d = static_cast<size_t>(config.head_dim);
  for (const auto* matrices : {&transform.encode_key, &transform.decode_key}) {
    for (size_t head = 0; head < kv_heads; ++head) {
      const auto fault = entry_against_rope((*matrices)[head], d);
      if (!fault) continue;
      const auto [row, column] = *fault;
      throw ConfigError(
          {.code = "TRANSFORM",
           .message = fmt::format(
               "layer {}, key head {}: the {} matrix must turn each rotary plane (l, l + {}) by "
               "itself, or it does not commute with RoPE; found {} in row {}, column {}",
               layer, head, matrices == &transform.encode_key ? "encoding" : "decoding", d / 2,
               (*matrices)[head].dense[row * d + column], row, column)});
    }
  }
}

}  // namespace regroup
