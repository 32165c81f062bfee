#include "regroup/checkpoint/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace regroup {
namespace {

struct DtypeRow {
  std::string_view name;
  int bits;
};
// In the order of the enum.
constexpr auto kRows = std::to_array<DtypeRow>({
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
});
static_assert(kRows.size() == static_cast<size_t>(Dtype::kU64) + 1);

/// double -> float rounded to odd: the float whose last bit is set when anything was cut off.
/// Rounding that to a shorter format (nearest even) equals rounding the double itself: float has
/// more than two bits beyond bf16 and f16, subnormals included.
/// Without branches, so that loops over it vectorise.
inline uint32_t round_to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const double back = nearest;
  const auto away = static_cast<uint32_t>(std::fabs(back) > std::fabs(value));  // from zero
  const auto inexact = static_cast<uint32_t>(back != value);                    // also a NaN
  return (std::bit_cast<uint32_t>(nearest) - away) | inexact;
}

inline uint16_t round_to_bf16(double value) {
  const uint32_t bits = round_to_odd(value);
  const uint32_t nan = bits >> 16 | 0x40u;
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  return static_cast<uint16_t>(value == value ? rounded : nan);
}

/// Rounds with `round` and counts the finite values that became infinite (`kInfinity`).
template <typename T, T kInfinity, typename Round>
int64_t round_all(std::span<const double> values, std::byte* out, Round round) {
  constexpr T kMagnitude = static_cast<T>(~T{0}) >> 1;
  int64_t overflowed = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const T bits = round(values[i]);
    std::memcpy(out + i * sizeof(T), &bits, sizeof(T));
    overflowed += static_cast<int64_t>((bits & kMagnitude) == kInfinity) &
                  static_cast<int64_t>(std::fabs(values[i]) <= std::numeric_limits<double>::max());
  }
  return overflowed;
}

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// True if the exponent bits are all ones. Written without branches so that it vectorises.
template <typename T, T kExponent>
int64_t nonfinite(std::span<const std::byte> bytes, int64_t* first) {
  const size_t n = bytes.size() / sizeof(T);
  constexpr size_t kBlock = 4096;
  int64_t count = 0;
  for (size_t start = 0; start < n; start += kBlock) {
    const size_t stop = std::min(n, start + kBlock);
    unsigned any = 0;
    for (size_t i = start; i < stop; ++i) {
      any |= (load<T>(bytes.data() + i * sizeof(T)) & kExponent) == kExponent;
    }
    if (any == 0) continue;
    for (size_t i = start; i < stop; ++i) {
      if ((load<T>(bytes.data() + i * sizeof(T)) & kExponent) != kExponent) continue;
      if (count++ == 0 && first != nullptr) *first = static_cast<int64_t>(i);
    }
  }
  return count;
}

}  // namespace

std::optional<Dtype> parse_dtype(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

std::string_view dtype_name(Dtype dtype) { return kRows[static_cast<size_t>(dtype)].name; }
int dtype_bits(Dtype dtype) { return kRows[static_cast<size_t>(dtype)].bits; }
bool is_weight_dtype(Dtype dtype) {
  return dtype == Dtype::kF16 || dtype == Dtype::kBF16 || dtype == Dtype::kF32 ||
         dtype == Dtype::kF64;
}
Dtype kept_dtype(Dtype dtype) { return dtype == Dtype::kF64 ? Dtype::kF32 : dtype; }

uint16_t to_bf16(double value) { return round_to_bf16(value); }

uint16_t to_f16(double value) {
  const uint32_t bits = round_to_odd(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return sign | 0x7E00u;   // NaN
  if (magnitude >= 0x47800000u) return sign | 0x7C00u;  // 65536 and above, and infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: subnormal
    // Adding 0.5 lines the subnormal's last bit up with the float's last bit, which then rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xC8000FFFu + (magnitude >> 13 & 1u);
  return static_cast<uint16_t>(sign | rounded >> 13);
}

float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float from_f16(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u)
    return std::bit_cast<float>(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  // 2^112 moves the exponent from bias 15 to bias 127 and makes subnormals normal.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

void widen(Dtype dtype, std::span<const std::byte> bytes, std::span<double> out) {
  const std::byte* in = bytes.data();
  if (dtype == Dtype::kF32) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = load<float>(in + 4 * i);
  } else if (dtype == Dtype::kF64) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = load<double>(in + 8 * i);
  } else if (dtype == Dtype::kBF16) {
    const auto value = [](uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); };
    for (size_t i = 0; i < out.size(); ++i) out[i] = value(load<uint16_t>(in + 2 * i));
  } else {
    for (size_t i = 0; i < out.size(); ++i) out[i] = from_f16(load<uint16_t>(in + 2 * i));
  }
}

int64_t round_to(Dtype dtype, std::span<const double> values, std::span<std::byte> out) {
  if (dtype == Dtype::kF32) {
    return round_all<uint32_t, 0x7F800000u>(values, out.data(), [](double value) {
      return std::bit_cast<uint32_t>(static_cast<float>(value));
    });
  }
  if (dtype == Dtype::kBF16) {
    return round_all<uint16_t, 0x7F80u>(values, out.data(), round_to_bf16);
  }
  return round_all<uint16_t, 0x7C00u>(values, out.data(), to_f16);
}

int64_t count_nonfinite(Dtype dtype, std::span<const std::byte> bytes, int64_t* first) {
  if (dtype == Dtype::kF32) return nonfinite<uint32_t, 0x7F800000u>(bytes, first);
  if (dtype == Dtype::kBF16) return nonfinite<uint16_t, 0x7F80u>(bytes, first);
  if (dtype == Dtype::kF16) return nonfinite<uint16_t, 0x7C00u>(bytes, first);
  if (dtype == Dtype::kF64) return nonfinite<uint64_t, 0x7FF0000000000000u>(bytes, first);
  return 0;
}

}  // namespace regroup
