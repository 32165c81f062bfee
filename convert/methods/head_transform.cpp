#include "regroup/convert/head_transform.h"

#include <algorithm>
#include <numeric>

namespace regroup {
namespace {

bool all_identity(const std::vector<HeadMatrix>& matrices) {
  return std::all_of(matrices.begin(), matrices.end(),
                     [](const HeadMatrix& m) { return m.is_identity(); });
}

bool all_one(const std::vector<double>& gains) {
  return std::all_of(gains.begin(), gains.end(), [](double gain) { return gain == 1.0; });
}

}  // namespace

bool LayerTransform::keeps_order() const {
  for (size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

bool LayerTransform::stretches_logits() const { return !all_one(logit_gain); }

bool LayerTransform::changes_queries() const {
  return !keeps_order() || !all_identity(decode_key) || stretches_logits();
}

bool LayerTransform::changes_outputs() const {
  return !keeps_order() || !all_identity(decode_value) || !all_one(output_gain);
}

bool LayerTransform::changes_keys_or_values() const {
  return !keeps_order() || !all_identity(encode_key) || !all_identity(encode_value) ||
         divisor != 1.0 || redraw;
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

}  // namespace regroup
