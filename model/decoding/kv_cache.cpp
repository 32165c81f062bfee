#include "regroup/model/kv_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include <algorithm>

namespace regroup {

using at::Tensor;

namespace {

/// `held` [sequences, heads, tokens, head_dim] with room for more of both; doubling the room each time copies a
/// token twice on average, however many come.
Tensor grown(const Tensor& held, int64_t rows, int64_t length, int64_t new_rows, int64_t capacity) {
  auto shape = held.sizes().vec();
  shape[0] = new_rows;
  shape[2] = capacity;
  const Tensor larger = at::empty(shape, held.options());
  larger.narrow(0, 0, rows)
      .narrow(2, 0, length)
      .copy_(held.narrow(0, 0, rows).narrow(2, 0, length));
  return larger;
}

int64_t doubled(int64_t held, int64_t needed) {
  return held < needed ? std::max(needed, 2 * held) : held;
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, int64_t batch, int64_t capacity, at::ScalarType dtype,
                 at::Device device)
    : lengths_(static_cast<size_t>(batch), 0), capacity_(capacity) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    const std::vector<int64_t> shape = {batch, config.n_kv_heads, capacity, config.head_dim};
    keys_.push_back(at::empty(shape, options));
    values_.push_back(at::empty(shape, options));
  }
}

int64_t KvCache::length() const {
  return lengths_.empty() ? 0 : *std::max_element(lengths_.begin(), lengths_.end());
}

bool KvCache::is_even() const {
  return std::all_of(lengths_.begin(), lengths_.end(),
                     [this](int64_t length) { return length == lengths_.front(); });
}

int64_t KvCache::bytes() const {
  int64_t total = 0;
  for (const Tensor& keys : keys_) total += 2 * static_cast<int64_t>(keys.nbytes());
  return total;
}

void KvCache::reserve(size_t layer, int64_t rows, int64_t capacity) {
  const auto held_rows = static_cast<int64_t>(lengths_.size());
  for (Tensor* held : {&keys_[layer], &values_[layer]}) {
    if (held->size(0) >= rows && held->size(2) >= capacity) continue;
    *held = grown(*held, held_rows, length(), doubled(held->size(0), rows),
                  doubled(held->size(2), capacity));
  }
  capacity_ = keys_[layer].size(2);
}

std::pair<Tensor, Tensor> KvCache::append(int64_t layer, const Tensor& k, const Tensor& v) {
  const auto i = static_cast<size_t>(layer);
  const auto rows = static_cast<int64_t>(lengths_.size());
  const int64_t added = k.size(2);
  const int64_t past = length();
  reserve(i, rows, past + added);
  const auto write = [&](const Tensor& held, const Tensor& added_rows) {
    const Tensor own = held.narrow(0, 0, rows);
    if (is_even()) {
      own.narrow(2, past, added).copy_(added_rows);
    } else {
      for (int64_t row = 0; row < rows; ++row) {
        own.select(0, row)
            .narrow(1, lengths_[static_cast<size_t>(row)], added)
            .copy_(added_rows.select(0, row));
      }
    }
    return own.narrow(2, 0, past + added);
  };
  return {write(keys_[i], k), write(values_[i], v)};
}

void KvCache::advance(int64_t tokens) {
  for (int64_t& length : lengths_) length += tokens;
}

void KvCache::add(const KvCache& other) {
  const auto row = static_cast<int64_t>(lengths_.size());
  const int64_t added = other.length();
  for (size_t layer = 0; layer < keys_.size(); ++layer) {
    reserve(layer, row + 1, added);
    const auto copy = [&](const Tensor& to, const Tensor& from) {
      to.select(0, row).narrow(1, 0, added).copy_(from.select(0, 0).narrow(1, 0, added));
    };
    copy(keys_[layer], other.keys_[layer]);
    copy(values_[layer], other.values_[layer]);
  }
  lengths_.push_back(added);
}

void KvCache::remove(int64_t index) {
  const auto last = static_cast<int64_t>(lengths_.size()) - 1;
  const int64_t moved = lengths_.back();
  if (index != last) {
    for (const auto* side : {&keys_, &values_}) {
      for (const Tensor& held : *side) {
        held.select(0, index).narrow(1, 0, moved).copy_(held.select(0, last).narrow(1, 0, moved));
      }
    }
  }
  lengths_[static_cast<size_t>(index)] = moved;
  lengths_.pop_back();
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
  std::fill(lengths_.begin(), lengths_.end(), length);
}

void KvCache::cut(int64_t length) {
  for (int64_t& own : lengths_) own = std::min(own, length);
}

}  // namespace regroup
