#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace regroup {

/// random.Random of CPython 3.11: the same numbers from the same seed, so that few-shot examples and bootstrap errors are
/// those of lm-evaluation-harness. MT19937 (Matsumoto and Nishimura, 1998).
class PythonRandom {
 public:
  explicit PythonRandom(uint64_t seed);

  double random();                        ///< [0, 1), 53 bits
  uint32_t getrandbits(int bits);         ///< bits in [1, 32]
  uint64_t randbelow(uint64_t n);         ///< [0, n), n in [1, 2^32)
  int64_t randint(int64_t a, int64_t b);  ///< [a, b]
  /// random.sample(range(n), k): k different numbers below n. k <= n.
  std::vector<int64_t> sample(int64_t n, int64_t k);

  template <typename Value>
  void shuffle(std::vector<Value>& values) {
    for (size_t i = values.size(); i-- > 1;) std::swap(values[i], values[randbelow(i + 1)]);
  }

 private:
  uint32_t next();
  void twist();

  static constexpr size_t kWords = 624;
  std::array<uint32_t, kWords> state_{};
  size_t at_ = kWords;
};

}  // namespace regroup
