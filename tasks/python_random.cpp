#include "python_random.h"

#include <bit>
#include <numeric>
#include <set>
#include <utility>

namespace regroup {
namespace {

constexpr size_t kShift = 397;

/// random.sample() keeps a list of all that is left while that is smaller than a set of what was drawn.
bool fits_list(int64_t n, int64_t k) {
  int64_t set_size = 21;
  if (k > 5) {
    int64_t power = 4;  // 4^ceil(log_4(3k))
    while (power < 3 * k) power *= 4;
    set_size += power;
  }
  return n <= set_size;
}

}  // namespace

// seed(int) of CPython: init_by_array over the 32-bit words of the seed.
PythonRandom::PythonRandom(uint64_t seed) {
  std::vector<uint32_t> key = {static_cast<uint32_t>(seed)};
  if (seed >> 32 != 0) key.push_back(static_cast<uint32_t>(seed >> 32));
  state_[0] = 19650218U;
  for (size_t i = 1; i < kWords; ++i) {
    state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + static_cast<uint32_t>(i);
  }
  size_t i = 1;
  const auto advance = [&] {
    if (++i >= kWords) {
      state_[0] = state_[kWords - 1];
      i = 1;
    }
  };
  size_t j = 0;
  for (size_t n = kWords; n > 0; --n) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525U)) + key[j] +
                static_cast<uint32_t>(j);
    advance();
    j = (j + 1) % key.size();
  }
  for (size_t n = kWords - 1; n > 0; --n) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941U)) -
                static_cast<uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000U;
}

void PythonRandom::twist() {
  for (size_t i = 0; i < kWords; ++i) {
    const uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % kWords] & 0x7fffffffU);
    state_[i] = state_[(i + kShift) % kWords] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
  at_ = 0;
}

uint32_t PythonRandom::next() {
  if (at_ == kWords) twist();
  uint32_t y = state_[at_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

double PythonRandom::random() {
  const uint32_t high = next() >> 5;
  const uint32_t low = next() >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

uint32_t PythonRandom::getrandbits(int bits) { return next() >> (32 - bits); }

uint64_t PythonRandom::randbelow(uint64_t n) {
  const int bits = static_cast<int>(std::bit_width(n));
  uint64_t drawn = getrandbits(bits);
  while (drawn >= n) drawn = getrandbits(bits);
  return drawn;
}

int64_t PythonRandom::randint(int64_t a, int64_t b) {
  return a + static_cast<int64_t>(randbelow(static_cast<uint64_t>(b - a + 1)));
}

std::vector<int64_t> PythonRandom::sample(int64_t n, int64_t k) {
  std::vector<int64_t> drawn;
  if (fits_list(n, k)) {
    std::vector<int64_t> left(static_cast<size_t>(n));
    std::iota(left.begin(), left.end(), int64_t{0});
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(randbelow(static_cast<uint64_t>(n - i)));
      drawn.push_back(left[at]);
      left[at] = left[static_cast<size_t>(n - i - 1)];
    }
    return drawn;
  }
  std::set<int64_t> seen;
  while (static_cast<int64_t>(drawn.size()) < k) {
    const auto one = static_cast<int64_t>(randbelow(static_cast<uint64_t>(n)));
    if (seen.insert(one).second) drawn.push_back(one);
  }
  return drawn;
}

}  // namespace regroup
