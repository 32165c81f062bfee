#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace regroup::parquet {

/// The number whose bytes these are, at most 8, the lowest first.
inline uint64_t load_little(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

/// `width` bits (at most 64) from bit `at` on, the lowest first. `bytes` must hold them.
inline uint64_t load_bits(std::string_view bytes, uint64_t at, unsigned width) {
  uint64_t value = 0;
  for (unsigned done = 0; done < width;) {
    const auto shift = static_cast<unsigned>((at + done) % 8);
    const uint64_t byte = static_cast<uint8_t>(bytes[(at + done) / 8]);
    value |= byte >> shift << done;
    done += 8 - shift;
  }
  return width < 64 ? value & ((uint64_t{1} << width) - 1) : value;
}

}  // namespace regroup::parquet
