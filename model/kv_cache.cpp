#include "regroup/model/kv_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include <algorithm>

namespace regroup {

using at::Tensor;

namespace {

/// `held` [batch, heads, tokens, head_dim] with room for more; doubling it each time copies a token twice
/// on average, however many come.
Tensor grown(const Tensor& held, int64_t length, int64_t capacity) {
  auto shape = held.sizes().vec();
  shape[2] = capacity;
  const Tensor larger = at::empty(shape, held.options());
  larger.narrow(2, 0, length).copy_(held.narrow(2, 0, length));
  return larger;
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, int64_t batch, int64_t capacity, at::ScalarType dtype,
                 at::Device device)
    : capacity_(capacity) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    const std::vector<int64_t> shape = {batch, config.n_kv_heads, capacity, config.head_dim};
    keys_.push_back(at::empty(shape, options));
    values_.push_back(at::empty(shape, options));
  }
}

int64_t KvCache::bytes() const {
  int64_t total = 0;
  for (const Tensor& keys : keys_) total += 2 * static_cast<int64_t>(keys.nbytes());
  return total;
}

KvCache KvCache::select(const Tensor& rows, int64_t more) const {
  KvCache chosen;
  chosen.length_ = length_;
  chosen.capacity_ = length_ + more;
  const auto copy = [&](const Tensor& held) {
    return grown(held.narrow(2, 0, length_).index_select(0, rows), length_, chosen.capacity_);
  };
  for (const Tensor& keys : keys_) chosen.keys_.push_back(copy(keys));
  for (const Tensor& values : values_) chosen.values_.push_back(copy(values));
  return chosen;
}

std::pair<Tensor, Tensor> KvCache::append(int64_t layer, const Tensor& k, const Tensor& v) {
  const auto i = static_cast<size_t>(layer);
  const int64_t added = k.size(2);
  const int64_t length = length_ + added;
  for (Tensor* held : {&keys_[i], &values_[i]}) {
    if (held->size(2) < length) *held = grown(*held, length_, std::max(length, 2 * held->size(2)));
  }
  capacity_ = keys_[i].size(2);
  keys_[i].narrow(2, length_, added).copy_(k);
  values_[i].narrow(2, length_, added).copy_(v);
  return {keys_[i].narrow(2, 0, length), values_[i].narrow(2, 0, length)};
}

void KvCache::make_up(int64_t length) {
  constexpr int64_t kTile = 256;  // tokens that are drawn; the rest repeats them
  for (auto* side : {&keys_, &values_}) {
    for (const Tensor& held : *side) {
      const Tensor tile = at::randn({1, 1, kTile, held.size(3)}, held.options());
      for (int64_t first = 0; first < length; first += kTile) {
        const int64_t count = std::min(kTile, length - first);
        held.narrow(2, first, count)
            .copy_(tile.narrow(2, 0, count).expand({held.size(0), held.size(1), -1, -1}));
      }
    }
  }
  length_ = length;
}

}  // namespace regroup
