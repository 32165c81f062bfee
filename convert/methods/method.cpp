#include "regroup/convert/method.h"

#include <fmt/format.h>

#include <array>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

template <typename Value>
struct Row {
  Value value;
  const char* name;
};

constexpr auto kMethods = std::to_array<Row<Method>>({{Method::kMean, "mean"},
                                                      {Method::kFirst, "first"},
                                                      {Method::kRandom, "random"},
                                                      {Method::kMedoid, "medoid"},
                                                      {Method::kPrune, "prune"},
                                                      {Method::kWeighted, "weighted"},
                                                      {Method::kAlign, "align"},
                                                      {Method::kAlignNorm, "align-norm"},
                                                      {Method::kPca, "pca"}});

constexpr auto kGroupings = std::to_array<Row<Grouping>>({{Grouping::kContiguous, "contiguous"},
                                                          {Grouping::kSimilarity, "similarity"},
                                                          {Grouping::kResidual, "residual"}});

constexpr auto kGains =
    std::to_array<Row<Gain>>({{Gain::kAuto, "auto"}, {Gain::kOn, "on"}, {Gain::kOff, "off"}});

template <typename Rows>
std::vector<std::string> names_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.emplace_back(row.name);
  return names;
}

template <typename Rows, typename Value>
std::string name_of(const Rows& rows, Value value) {
  for (const auto& row : rows) {
    if (row.value == value) return row.name;
  }
  return {};
}

template <typename Rows>
auto parse(const Rows& rows, const std::string& name, const char* flag, const char* code) {
  for (const auto& row : rows) {
    if (name == row.name) return row.value;
  }
  const std::string near = nearest(name, names_of(rows));
  throw ConfigError({.code = code,
                     .message = fmt::format("{} must be one of {}, found {}", flag,
                                            join(names_of(rows), ", "), printable(name)),
                     .hint = near.empty() ? "" : fmt::format("did you mean {}?", near)});
}

/// Keeps only the first head of every group.
void keep_first(LayerTransform& transform, int64_t members) {
  for (size_t head = 0; head < transform.encode_key.size(); ++head) {
    const double weight = static_cast<int64_t>(head) % members == 0 ? 1.0 : 0.0;
    transform.encode_key[head].scale = weight;
    transform.encode_value[head].scale = weight;
  }
}

}  // namespace

std::vector<std::string> method_names() { return names_of(kMethods); }
Method parse_method(const std::string& name) {
  return parse(kMethods, name, "`method`", "METHOD_UNKNOWN");
}
std::string method_name(Method method) { return name_of(kMethods, method); }

std::vector<std::string> grouping_names() { return names_of(kGroupings); }
Grouping parse_grouping(const std::string& name) {
  return parse(kGroupings, name, "`grouping`", "FLAG_VALUE");
}
std::string grouping_name(Grouping grouping) { return name_of(kGroupings, grouping); }

Gain parse_gain(const std::string& name, const char* flag) {
  return parse(kGains, name, flag, "FLAG_VALUE");
}
std::string gain_name(Gain gain) { return name_of(kGains, gain); }

Grouping default_grouping(Method method) {
  const bool plain = !reads_weights(method) || method == Method::kPrune;
  return plain ? Grouping::kContiguous : Grouping::kResidual;
}

bool reads_weights(Method method) {
  return method != Method::kMean && method != Method::kFirst && method != Method::kRandom;
}

bool moves_heads(Method method, Grouping grouping) {
  return method == Method::kPrune || (may_regroup(method) && grouping != Grouping::kContiguous);
}

bool may_regroup(Method method) { return method != Method::kPrune && method != Method::kRandom; }

std::vector<LayerTransform> make_transforms(Method method, const ModelConfig& parent,
                                            int64_t n_kv_heads) {
  const int64_t members = parent.n_kv_heads / n_kv_heads;
  LayerTransform transform = identity_transform(parent);
  // One member a group is the identity for every method: nothing is drawn anew, nothing divided.
  if (members > 1) {
    if (method == Method::kMean) transform.divisor = static_cast<double>(members);
    if (method == Method::kFirst) keep_first(transform, members);
    transform.redraw = method == Method::kRandom;
  }
  return std::vector<LayerTransform>(static_cast<size_t>(parent.n_layers), transform);
}

}  // namespace regroup
