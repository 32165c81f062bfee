#include "cache_ledger.h"

#include <algorithm>

namespace regroup {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// FLOPs of one query, all its heads, over one token: a product with the key and one with the value.
double flops_of(const CacheLayout& layout, const CacheLayer& layer) {
  const auto heads = static_cast<double>(layout.n_heads);
  const int64_t channels =
      layer.kind == CacheKind::kLatent ? 2 * layer.token_elements : layer.head_elements;
  return 2 * heads * static_cast<double>(channels);
}

}  // namespace

CacheLedger::CacheLedger(const CacheLayout& layout, int64_t kv_bits, int64_t block_tokens)
    : block_tokens_(block_tokens), state_bytes_(state_bytes(layout)) {
  for (const CacheLayer& layer : layout.layers) {
    if (layer.elements_per_token() == 0) continue;
    const int64_t window = layer.kind == CacheKind::kSliding ? layer.window : 0;
    auto group = std::find_if(groups_.begin(), groups_.end(),
                              [&](const Group& g) { return g.window == window; });
    if (group == groups_.end()) {
      groups_.push_back({.window = window});
      group = groups_.end() - 1;
      group->phases.resize(static_cast<size_t>(block_tokens));
      // A window that begins within a block keeps that block.
      group->window_blocks = window > 0 ? ceil_div(window - 1, block_tokens) + 1 : 0;
    }
    group->token_bits += layer.elements_per_token() * kv_bits;
    group->token_flops += flops_of(layout, layer);
  }
}

int64_t CacheLedger::blocks_of(const Group& group, int64_t tokens, int64_t shared) const {
  if (is_full(group, tokens)) return group.window_blocks;
  return ceil_div(tokens, block_tokens_) - shared;
}

size_t CacheLedger::phase(int64_t tokens) const {
  const int64_t rest = (tokens - step_) % block_tokens_;
  return static_cast<size_t>(rest < 0 ? rest + block_tokens_ : rest);
}

int64_t CacheLedger::bytes_of(int64_t tokens, int64_t shared) const {
  int64_t bytes = state_bytes_;
  for (const Group& group : groups_) {
    bytes += blocks_of(group, tokens, shared) * group.block_bytes(block_tokens_);
  }
  return bytes;
}

int64_t CacheLedger::block_bytes() const {
  int64_t bytes = 0;
  for (const Group& group : groups_) bytes += group.block_bytes(block_tokens_);
  return bytes;
}

/// The first step at which sequences of a phase fill their blocks; every block_tokens-th behind it is another.
int64_t CacheLedger::first_new_block(int64_t phase) const {
  const int64_t first = -(phase + step_) % block_tokens_;
  return first < 0 ? first + block_tokens_ : first;
}

/// Blocks that growing sequences take in so many steps.
int64_t CacheLedger::new_blocks(const Group& group, int64_t steps) const {
  int64_t blocks = 0;
  for (int64_t p = 0; steps > 0 && p < block_tokens_; ++p) {
    const int64_t first = first_new_block(p);
    if (steps <= first) continue;
    blocks += group.phases[static_cast<size_t>(p)] * ceil_div(steps - first, block_tokens_);
  }
  return blocks;
}

/// A window that fills within `steps` takes the block that it begins in as well.
int64_t CacheLedger::filling_blocks(const Group& group, int64_t steps) const {
  const bool fills = !group.full_at.empty() && group.full_at.begin()->first - step_ <= steps;
  if (!fills) return 0;
  const int64_t more = group.window_blocks - ceil_div(group.window, block_tokens_);
  return group.full_at.begin()->second * more;
}

/// The mean over steps of what new_blocks() says after each.
double CacheLedger::mean_new_blocks(const Group& group, int64_t steps) const {
  double sum = 0;
  for (int64_t p = 0; p < block_tokens_; ++p) {
    const int64_t count = group.phases[static_cast<size_t>(p)];
    const int64_t after = steps - first_new_block(p);
    if (count == 0 || after <= 0) continue;
    // ceil(1 / b) + ... + ceil(after / b)
    const int64_t blocks = after / block_tokens_;
    const auto whole = static_cast<double>(blocks);
    const auto rest = static_cast<double>(after % block_tokens_);
    const double ceilings =
        static_cast<double>(block_tokens_) * whole * (whole + 1) / 2 + rest * (whole + 1);
    sum += static_cast<double>(count) * ceilings;
  }
  return sum / static_cast<double>(steps);
}

int64_t CacheLedger::bytes_after(int64_t steps) const {
  int64_t bytes = sequences_ * state_bytes_;
  for (const Group& group : groups_) {
    const int64_t blocks = group.blocks + new_blocks(group, steps) + filling_blocks(group, steps) +
                           group.full * group.window_blocks;
    bytes += blocks * group.block_bytes(block_tokens_);
  }
  return bytes;
}

double CacheLedger::mean_bytes(int64_t steps) const {
  auto bytes = static_cast<double>(sequences_ * state_bytes_);
  for (const Group& group : groups_) {
    const auto now = static_cast<double>(group.blocks + group.full * group.window_blocks);
    bytes += (now + mean_new_blocks(group, steps)) *
             static_cast<double>(group.block_bytes(block_tokens_));
  }
  return bytes;
}

double CacheLedger::mean_used_bytes(int64_t steps) const {
  auto bytes = static_cast<double>(sequences_ * state_bytes_);
  for (const Group& group : groups_) {
    const auto tokens =
        static_cast<double>(group.tokens + group.held_tokens + group.full * group.window);
    const double grown = static_cast<double>(group.growing) * static_cast<double>(steps + 1) / 2;
    bytes += (tokens + grown - static_cast<double>(group.shared_tokens)) *
             static_cast<double>(group.token_bits) / 8;
  }
  return bytes;
}

void CacheLedger::hold(int64_t tokens, int64_t shared) {
  ++sequences_;
  for (Group& group : groups_) {
    group.blocks += blocks_of(group, tokens, shared);
    group.held_tokens += (is_full(group, tokens) ? group.window : tokens) - shared * block_tokens_;
  }
}

void CacheLedger::release(int64_t tokens, int64_t shared) {
  --sequences_;
  for (Group& group : groups_) {
    group.blocks -= blocks_of(group, tokens, shared);
    group.held_tokens -= (is_full(group, tokens) ? group.window : tokens) - shared * block_tokens_;
  }
}

void CacheLedger::join(int64_t tokens, int64_t shared) {
  ++sequences_;
  for (Group& group : groups_) {
    if (is_full(group, tokens)) {
      ++group.full;
      continue;
    }
    ++group.growing;
    group.shared_tokens += shared * block_tokens_;
    group.tokens += tokens;
    group.blocks += blocks_of(group, tokens, shared);
    ++group.phases[phase(tokens)];
    if (group.window > 0) ++group.full_at[step_ + group.window - tokens];
  }
}

void CacheLedger::leave(int64_t tokens, int64_t shared) {
  --sequences_;
  for (Group& group : groups_) {
    if (is_full(group, tokens)) {
      --group.full;
      continue;
    }
    --group.growing;
    group.shared_tokens -= shared * block_tokens_;
    group.tokens -= tokens;
    group.blocks -= blocks_of(group, tokens, shared);
    --group.phases[phase(tokens)];
    if (group.window == 0) continue;
    const auto at = group.full_at.find(step_ + group.window - tokens);
    if (--at->second == 0) group.full_at.erase(at);
  }
}

/// Sequences that have reached the window by now no longer grow.
void CacheLedger::fill_windows(Group& group) {
  const auto at = group.full_at.find(step_);
  if (at == group.full_at.end()) return;
  const int64_t count = at->second;
  group.full_at.erase(at);
  group.growing -= count;
  group.tokens -= count * group.window;
  group.blocks -= count * ceil_div(group.window, block_tokens_);
  group.phases[phase(group.window)] -= count;
  group.full += count;
}

void CacheLedger::advance(int64_t steps) {
  for (Group& group : groups_) {
    group.blocks += new_blocks(group, steps);
    group.tokens += group.growing * steps;
  }
  step_ += steps;
  for (Group& group : groups_) fill_windows(group);
}

int64_t CacheLedger::steps_to_full_window() const {
  int64_t steps = INT64_MAX;
  for (const Group& group : groups_) {
    if (!group.full_at.empty()) steps = std::min(steps, group.full_at.begin()->first - step_);
  }
  return steps;
}

CacheWork CacheLedger::work() const {
  CacheWork work;
  for (const Group& group : groups_) {
    const auto tokens =
        static_cast<double>(group.tokens + group.growing + group.full * group.window);
    const auto growth = static_cast<double>(group.growing);
    const double token_bytes = static_cast<double>(group.token_bits) / 8;
    work.bytes += tokens * token_bytes;
    work.bytes_growth += growth * token_bytes;
    work.flops += tokens * group.token_flops;
    work.flops_growth += growth * group.token_flops;
  }
  return work;
}

double CacheLedger::prefill_flops(int64_t before, int64_t queries) const {
  double flops = 0;
  for (const Group& group : groups_) {
    // The first queries see one token more each, those behind them a full window.
    const int64_t room = std::max<int64_t>(0, group.window - before);
    const auto rising = static_cast<double>(group.window > 0 ? std::min(room, queries) : queries);
    const double level = static_cast<double>(queries) - rising;
    const double pairs = rising * static_cast<double>(before) + rising * (rising + 1) / 2 +
                         level * static_cast<double>(group.window);
    flops += pairs * group.token_flops;
  }
  return flops;
}

double CacheLedger::read_bytes(int64_t tokens) const {
  double bytes = 0;
  for (const Group& group : groups_) {
    const int64_t kept = group.window > 0 ? std::min(tokens, group.window) : tokens;
    bytes += static_cast<double>(kept) * static_cast<double>(group.token_bits) / 8;
  }
  return bytes;
}

}  // namespace regroup
