#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/convert/head_transform.h"

namespace regroup {

/// How the KV heads of a group become one. Names are the field's terms.
enum class Method {
  kMean,    ///< the mean of the group's weights (arXiv:2305.13245, section 2.1)
  kFirst,   ///< the group's first head (same, section 3.3)
  kRandom,  ///< new random weights (same): a control
};

std::vector<std::string> method_names();
/// @throws ConfigError METHOD_UNKNOWN naming the nearest method
Method parse_method(const std::string& name);
std::string method_name(Method method);
/// The best measured method for what is given.
Method default_method();

/// The transform of every layer for groups of neighbouring heads.
std::vector<LayerTransform> make_transforms(Method method, const ModelConfig& parent,
                                            int64_t n_kv_heads);

}  // namespace regroup
