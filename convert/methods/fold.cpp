#include "regroup/convert/fold.h"

#include <algorithm>
#include <stdexcept>

namespace regroup {
namespace {

/// Weights of a mean that members enter as their keys do, from position `first` on.
std::vector<double> gain_weights(const LayerTransform& transform, int64_t first, int64_t members) {
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = first; i < first + members; ++i) {
    weights.push_back(transform.encode_key[static_cast<size_t>(i)].scale);
    sum += weights.back();
  }
  for (double& weight : weights) {
    weight = sum != 0 ? weight / sum : 1 / static_cast<double>(members);
  }
  return weights;
}

}  // namespace

const DenseFold& Fold::dense() const {
  if (dense_ == nullptr) throw std::logic_error("a dense head matrix without a DenseFold");
  return *dense_;
}

void Fold::accumulate(const HeadMatrix& matrix, std::span<const double> block,
                      std::span<double> acc, int64_t width, bool first) const {
  if (!matrix.dense.empty()) return dense().accumulate(matrix, block, acc, width, first);
  const double scale = matrix.scale;
  if (first) {
    std::transform(block.begin(), block.end(), acc.begin(), [=](double x) { return scale * x; });
  } else {
    for (size_t i = 0; i < acc.size(); ++i) acc[i] += scale * block[i];
  }
}

void Fold::merge(const LayerTransform& transform, KvSide side, int64_t group, int64_t width,
                 const ReadHead& read, std::span<double> merged) const {
  const auto& encode = side == KvSide::kKey ? transform.encode_key : transform.encode_value;
  std::vector<double> block(merged.size());
  bool first = true;
  for (int64_t member = group * members_; member < (group + 1) * members_; ++member) {
    const auto at = static_cast<size_t>(member);
    read(transform.permutation[at], block);
    if (encode[at].is_zero()) continue;
    accumulate(encode[at], block, merged, width, first);
    first = false;
  }
  if (first) std::fill(merged.begin(), merged.end(), 0.0);
  if (transform.divisor == 1.0) return;
  for (double& value : merged) value /= transform.divisor;
}

void Fold::merge_gains(const LayerTransform& transform, int64_t group, const ReadHead& read,
                       std::span<double> merged) const {
  const int64_t first = group * members_;
  const std::vector<double> weights = gain_weights(transform, first, members_);
  std::vector<double> block(merged.size());
  std::fill(merged.begin(), merged.end(), 0.0);
  for (int64_t i = 0; i < members_; ++i) {
    read(transform.permutation[static_cast<size_t>(first + i)], block);
    for (size_t c = 0; c < block.size(); ++c) {
      merged[c] += weights[static_cast<size_t>(i)] * block[c];
    }
  }
}

int64_t Fold::old_query(const LayerTransform& transform, int64_t query) const {
  const int64_t kv = transform.permutation[static_cast<size_t>(query / readers_)];
  return kv * readers_ + query % readers_;
}

void Fold::query(const LayerTransform& transform, int64_t query, int64_t width,
                 const ReadHead& read, std::span<double> block) const {
  const HeadMatrix& matrix = transform.decode_key[static_cast<size_t>(query / readers_)];
  const double gain = transform.logit_gain[static_cast<size_t>(query)];
  read(old_query(transform, query), block);
  if (!matrix.dense.empty()) return dense().rows(matrix, gain, block, width);
  const double factor = gain * matrix.scale;
  if (factor == 1.0) return;
  for (double& x : block) x *= factor;
}

void Fold::output(const LayerTransform& transform, int64_t query, const HeadColumns& c) const {
  const HeadMatrix& matrix = transform.decode_value[static_cast<size_t>(query / readers_)];
  const double gain = transform.output_gain[static_cast<size_t>(query)];
  if (!matrix.dense.empty()) return dense().columns(matrix, gain, c);
  const double factor = gain * matrix.scale;
  for (int64_t row = 0; row < c.rows; ++row) {
    const auto source = c.in.subspan(static_cast<size_t>(row * c.row_size + c.from),
                                     static_cast<size_t>(c.head_dim));
    const auto target = c.out.subspan(static_cast<size_t>(row * c.row_size + c.to));
    std::transform(source.begin(), source.end(), target.begin(),
                   [=](double x) { return factor * x; });
  }
}

}  // namespace regroup
