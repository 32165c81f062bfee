#include "regroup/convert/method.h"

#include <fmt/format.h>

#include <array>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

struct MethodRow {
  Method method;
  const char* name;
};
constexpr auto kMethods = std::to_array<MethodRow>(
    {{Method::kMean, "mean"}, {Method::kFirst, "first"}, {Method::kRandom, "random"}});

/// Keeps only the first head of every group.
void keep_first(LayerTransform& transform, int64_t members) {
  for (size_t head = 0; head < transform.encode_key.size(); ++head) {
    const double weight = static_cast<int64_t>(head) % members == 0 ? 1.0 : 0.0;
    transform.encode_key[head].scale = weight;
    transform.encode_value[head].scale = weight;
  }
}

}  // namespace

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const MethodRow& row : kMethods) names.emplace_back(row.name);
  return names;
}

Method parse_method(const std::string& name) {
  for (const MethodRow& row : kMethods) {
    if (name == row.name) return row.method;
  }
  const std::string near = nearest(name, method_names());
  throw ConfigError({.code = "METHOD_UNKNOWN",
                     .message = fmt::format("--method must be one of {}, found {}",
                                            join(method_names(), ", "), printable(name)),
                     .path = {},
                     .tensor = {},
                     .hint = near.empty() ? "" : fmt::format("did you mean {}?", near)});
}

std::string method_name(Method method) {
  for (const MethodRow& row : kMethods) {
    if (row.method == method) return row.name;
  }
  return {};
}

Method default_method() { return Method::kMean; }

std::vector<LayerTransform> make_transforms(Method method, const ModelConfig& parent,
                                            int64_t n_kv_heads) {
  const int64_t members = parent.n_kv_heads / n_kv_heads;
  LayerTransform transform = identity_transform(parent);
  // One member a group is the identity for every method: nothing is drawn anew, nothing divided.
  if (members > 1) {
    switch (method) {
      case Method::kMean:
        transform.divisor = static_cast<double>(members);
        break;
      case Method::kFirst:
        keep_first(transform, members);
        break;
      case Method::kRandom:
        transform.redraw = true;
        break;
    }
  }
  return std::vector<LayerTransform>(static_cast<size_t>(parent.n_layers), transform);
}

}  // namespace regroup
