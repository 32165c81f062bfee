#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/convert/head_transform.h"

namespace regroup {

/// How the KV heads of a group become one. Names are the field's terms; docs/methods.md has each one's
/// definition, source and measurements.
enum class Method {
  kMean,       ///< the mean of the group's weights (arXiv:2305.13245, section 2.1)
  kFirst,      ///< the group's first head (same, section 3.3)
  kRandom,     ///< new random weights (same): a control
  kMedoid,     ///< the head most like the others of its group
  kPrune,      ///< the heads that add most to the residual stream; dropped heads fall silent
  kWeighted,   ///< the mean weighted by how strongly each head is used
  kAlign,      ///< heads turned to agree, then the mean (arXiv:2412.20677)
  kAlignNorm,  ///< the same, restored to the members' energy
  kPca,  ///< keys by complex principal components a rotary plane, what position does not turn and
         ///< values by principal components
};

/// Which heads share a group.
enum class Grouping {
  kContiguous,  ///< neighbours, as the paper reads
  kSimilarity,  ///< those that can be aligned best (nuclear norm)
  kResidual,    ///< those that lose least when merged by principal components
};

/// Whether a factor a query head makes up for what merging by `pca` takes away.
enum class Gain {
  kOff,
  kOn,
  kAuto,  ///< as held-out text decides where the closed form is all, else the best measured
};

/// Which of the two gains a conversion has.
struct Gains {
  bool logit = true;
  bool output = false;
};

std::vector<std::string> method_names();
/// @throws ConfigError METHOD_UNKNOWN naming the nearest method
Method parse_method(const std::string& name);
std::string method_name(Method method);

std::vector<std::string> grouping_names();
/// @throws ConfigError FLAG_VALUE
Grouping parse_grouping(const std::string& name);
std::string grouping_name(Grouping grouping);

/// @throws ConfigError FLAG_VALUE
Gain parse_gain(const std::string& name, const char* flag);
std::string gain_name(Gain gain);

/// The best measured one, with and without text (docs/methods.md).
inline constexpr Method kDefaultMethod = Method::kPca;
Grouping default_grouping(Method method);

/// Whether a method looks at the weights, not only at their places.
bool reads_weights(Method method);
/// Whether heads change their order, as far as the method goes.
bool moves_heads(Method method, Grouping grouping);
bool may_regroup(Method method);  ///< whether --grouping means something

/// The transform of every layer for methods that need no weights and groups of neighbours.
std::vector<LayerTransform> make_transforms(Method method, const ModelConfig& parent,
                                            int64_t n_kv_heads);

}  // namespace regroup
