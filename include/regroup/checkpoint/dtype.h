#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace regroup {

/// Every element type of the safetensors format.
enum class Dtype : uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

std::optional<Dtype> parse_dtype(std::string_view name);  ///< "BF16"
std::string_view dtype_name(Dtype dtype);
int dtype_bits(Dtype dtype);
/// F16, BF16, F32 or F64: what weights may be stored in.
bool is_weight_dtype(Dtype dtype);
/// What weights of that dtype are written as: F64 is cast down to F32, the others stay.
Dtype kept_dtype(Dtype dtype);

/// Correctly rounded (nearest, ties to even) in one step.
uint16_t to_bf16(double value);
uint16_t to_f16(double value);
float from_bf16(uint16_t bits);
float from_f16(uint16_t bits);

/// Widens `bytes` of F16, BF16, F32 or F64 into `out` (one double an element).
void widen(Dtype dtype, std::span<const std::byte> bytes, std::span<double> out);
/// Rounds each double once to `dtype`. A finite value that would become infinite is counted.
/// @return how many finite values overflowed
int64_t round_to(Dtype dtype, std::span<const double> values, std::span<std::byte> out);

/// How many elements of F16, BF16, F32 or F64 data are NaN or infinite; `first` gets the first index.
int64_t count_nonfinite(Dtype dtype, std::span<const std::byte> bytes, int64_t* first);

}  // namespace regroup
