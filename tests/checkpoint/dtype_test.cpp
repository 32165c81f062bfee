// Rounding to bf16 and f16 against a search for the nearest of all 65,536 patterns.
#include "regroup/checkpoint/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

/// A 16-bit format: its name, what the library does, and its shape for the slow method.
struct Format {
  const char* name;
  Dtype dtype;
  uint16_t (*round)(double);
  float (*widen)(uint16_t);
  int exponent_bits;
  int mantissa_bits;
};
const Format kFormats[] = {{"bf16", Dtype::kBF16, to_bf16, from_bf16, 8, 7},
                           {"f16", Dtype::kF16, to_f16, from_f16, 5, 10}};

/// The value of a finite pattern without sign, from the definition of the format.
double value_of_pattern(const Format& f, uint16_t pattern) {
  const int exponent = pattern >> f.mantissa_bits;
  const int mantissa = pattern & ((1 << f.mantissa_bits) - 1);
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  if (exponent == 0) return std::ldexp(mantissa, 1 - bias - f.mantissa_bits);
  return std::ldexp((1 << f.mantissa_bits) + mantissa, exponent - bias - f.mantissa_bits);
}

/// The pattern nearest to `value` (finite), found by bisection among all of them; a tie goes to the
/// even one. Infinity counts as the next value after the largest, as IEEE 754 has it.
uint16_t slow_round(const Format& f, double value) {
  const double magnitude = std::fabs(value);
  const auto infinity = static_cast<uint16_t>(((1 << f.exponent_bits) - 1) << f.mantissa_bits);
  uint16_t low = 0;
  uint16_t high = infinity;  // value_of_pattern gives what would follow the largest
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (value_of_pattern(f, middle) <= magnitude ? low : high) = middle;
  }
  // Exact: the formats' values are multiples of 2^-133, and long double has 64 bits of mantissa for
  // the sum of two neighbours; the comparison doubles the value instead of halving the sum.
  const long double sum =
      static_cast<long double>(value_of_pattern(f, low)) + value_of_pattern(f, high);
  const long double twice = 2 * static_cast<long double>(magnitude);
  const bool up =
      magnitude >= value_of_pattern(f, high) || twice > sum || (twice == sum && low % 2 == 1);
  return static_cast<uint16_t>((up ? high : low) | (std::signbit(value) ? 0x8000 : 0));
}

void expect_rounded(const Format& f, double value) {
  ASSERT_EQ(f.round(value), slow_round(f, value))
      << f.name << " of " << std::hexfloat << value << " (bits " << std::bit_cast<uint64_t>(value)
      << ")";
}

class Formats : public ::testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(All, Formats, ::testing::ValuesIn(kFormats),
                         [](const auto& test) { return test.param.name; });

TEST_P(Formats, EveryPatternMeansWhatTheFormatSaysAndRoundTrips) {
  const Format& f = GetParam();
  const int infinity = ((1 << f.exponent_bits) - 1) << f.mantissa_bits;
  for (int i = 0; i < 65'536; ++i) {
    const auto pattern = static_cast<uint16_t>(i);
    const float value = f.widen(pattern);
    const int magnitude = pattern & 0x7FFF;
    ASSERT_EQ(std::signbit(value), pattern >= 0x8000) << i;
    if (magnitude > infinity) {
      ASSERT_TRUE(std::isnan(value)) << i;
      const int rounded = f.round(value) & 0x7FFF;
      ASSERT_GT(rounded, infinity) << i;  // NaN stays NaN, perhaps another one
      continue;
    }
    if (magnitude == infinity) {
      ASSERT_TRUE(std::isinf(value)) << i;
    } else {
      ASSERT_EQ(std::fabs(value), value_of_pattern(f, static_cast<uint16_t>(magnitude))) << i;
    }
    ASSERT_EQ(f.round(value), pattern) << i;
  }
}

// Between two neighbours: the middle, which is a tie, and the doubles right below and above it,
// which float would round onto the tie. A detour through float therefore fails here.
TEST_P(Formats, TiesAndWhatLiesBesideThem) {
  const Format& f = GetParam();
  const int infinity = ((1 << f.exponent_bits) - 1) << f.mantissa_bits;
  int64_t traps = 0;
  for (int i = 0; i < infinity; ++i) {
    const double below = value_of_pattern(f, static_cast<uint16_t>(i));
    const double above = value_of_pattern(f, static_cast<uint16_t>(i + 1));
    const double tie = below + (above - below) / 2;
    for (const double value : {tie, std::nextafter(tie, 0.0), std::nextafter(tie, 1e300),
                               std::nextafter(below, 1e300), std::nextafter(above, 0.0)}) {
      for (const double sign : {1.0, -1.0}) {
        ASSERT_NO_FATAL_FAILURE(expect_rounded(f, sign * value));
        traps += f.round(value) != f.round(static_cast<float>(value));
      }
    }
  }
  EXPECT_GT(traps, 30'000);  // the detour is wrong on about every tie
}

TEST_P(Formats, RandomDoubles) {
  const Format& f = GetParam();
  Random random(11);
  for (int i = 0; i < 100'000; ++i) {
    // Any bit pattern, then numbers of the size of weights, then the format's subnormals.
    const double any = std::bit_cast<double>(random.next());
    ASSERT_NO_FATAL_FAILURE(expect_rounded(f, std::isfinite(any) ? any : 0.0));
    ASSERT_NO_FATAL_FAILURE(expect_rounded(f, random.normal() * 0.02));
    const double tiny = f.dtype == Dtype::kF16 ? 0x1p-14 : 0x1p-126;
    ASSERT_NO_FATAL_FAILURE(expect_rounded(f, random.normal() * tiny));
  }
}

TEST_P(Formats, Edges) {
  const Format& f = GetParam();
  const double smallest = value_of_pattern(f, 1);
  const double largest = value_of_pattern(
      f, static_cast<uint16_t>((((1 << f.exponent_bits) - 1) << f.mantissa_bits) - 1));
  const double step =
      largest - value_of_pattern(f, static_cast<uint16_t>(
                                        (((1 << f.exponent_bits) - 1) << f.mantissa_bits) - 2));
  const double edges[] = {0.0,
                          smallest / 2,
                          std::nextafter(smallest / 2, 1),
                          smallest / 4,
                          5e-324,
                          2e-308,
                          0x1p-149,
                          0x1p-150,
                          std::nextafter(0x1p-150, 1),
                          largest,
                          largest + step / 2,
                          std::nextafter(largest + step / 2, 0),
                          largest + step,
                          std::numeric_limits<float>::max(),
                          std::nextafter(double{std::numeric_limits<float>::max()}, 1e300),
                          0x1p128,
                          1e300,
                          std::numeric_limits<double>::max()};
  for (const double edge : edges) {
    ASSERT_NO_FATAL_FAILURE(expect_rounded(f, edge));
    ASSERT_NO_FATAL_FAILURE(expect_rounded(f, -edge));
  }
  EXPECT_TRUE(std::isinf(f.widen(f.round(std::numeric_limits<double>::infinity()))));
  EXPECT_TRUE(std::isnan(f.widen(f.round(std::numeric_limits<double>::quiet_NaN()))));
}

// By hand. 1 + 2^-8 is the tie between bf16's 1 (0x3F80, even) and 1 + 2^-7 (0x3F81). A double 2^-40
// above it rounds up, but float has no such number and would make it the tie, hence 0x3F80.
TEST(Bf16, ByHand) {
  EXPECT_EQ(to_bf16(1.0), 0x3F80);
  EXPECT_EQ(to_bf16(1 + 0x1p-8), 0x3F80);
  EXPECT_EQ(to_bf16(1 + 0x1p-8 + 0x1p-40), 0x3F81);
  EXPECT_EQ(to_bf16(1 + 3 * 0x1p-8), 0x3F82);
  EXPECT_EQ(to_bf16(-2.0), 0xC000);
  EXPECT_EQ(to_bf16(-0.0), 0x8000);
}

TEST(F16, ByHand) {
  EXPECT_EQ(to_f16(1.0), 0x3C00);
  EXPECT_EQ(to_f16(1 + 0x1p-11), 0x3C00);
  EXPECT_EQ(to_f16(1 + 0x1p-11 + 0x1p-40), 0x3C01);
  EXPECT_EQ(to_f16(65504.0), 0x7BFF);
  EXPECT_EQ(to_f16(65519.99), 0x7BFF);
  EXPECT_EQ(to_f16(65520.0), 0x7C00);  // the tie with 65536, which is infinity
  EXPECT_EQ(to_f16(0x1p-24), 0x0001);
  EXPECT_EQ(to_f16(0x1p-25), 0x0000);
  EXPECT_EQ(to_f16(0x1p-25 + 0x1p-70), 0x0001);
}

TEST(RoundTo, CountsWhatOverflows) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {1.0, 70'000.0, -70'000.0, inf, std::nan(""), 1e39, 1e300};
  const auto overflows = [&](Dtype dtype) {
    std::vector<std::byte> out(values.size() * static_cast<size_t>(dtype_bits(dtype)) / 8);
    return round_to(dtype, values, out);
  };
  EXPECT_EQ(overflows(Dtype::kF16), 4);   // all but 1, infinity and NaN
  EXPECT_EQ(overflows(Dtype::kBF16), 2);  // 1e39 and 1e300 are above 3.39e38
  EXPECT_EQ(overflows(Dtype::kF32), 2);
}

TEST(Widen, IsTheInverseOfRoundTo) {
  const std::vector<double> values = {0.0, -0.0, 1.0, -2.5, 65504.0, 0x1p-24};
  for (const Dtype dtype : {Dtype::kF16, Dtype::kF32}) {
    std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_bits(dtype)) / 8);
    EXPECT_EQ(round_to(dtype, values, bytes), 0);
    std::vector<double> back(values.size());
    widen(dtype, bytes, back);
    EXPECT_EQ(back, values);
  }
}

template <typename T>
int64_t count(Dtype dtype, const std::vector<T>& patterns, int64_t* first) {
  return count_nonfinite(dtype, std::as_bytes(std::span(patterns)), first);
}

TEST(CountNonfinite, FindsAllAndTheFirst) {
  int64_t first = -1;
  // 10,000 elements span more than two of the blocks the counter works in.
  std::vector<uint16_t> bf16(10'000, 0x3F80);
  EXPECT_EQ(count(Dtype::kBF16, bf16, &first), 0);
  EXPECT_EQ(first, -1);
  bf16[9'999] = 0x7FC0;  // NaN
  bf16[4'096] = 0xFF80;  // -Inf
  bf16[4'097] = 0x7F7F;  // the largest finite value
  EXPECT_EQ(count(Dtype::kBF16, bf16, &first), 2);
  EXPECT_EQ(first, 4'096);
  EXPECT_EQ(count(Dtype::kBF16, bf16, nullptr), 2);

  const std::vector<uint16_t> f16 = {0x7BFF, 0x7C00, 0xFC01, 0x0001};
  EXPECT_EQ(count(Dtype::kF16, f16, &first), 2);
  EXPECT_EQ(first, 1);
  const std::vector<uint32_t> f32 = {0x7F7FFFFF, 0x00000001, 0x7F800001, 0xFF800000};
  EXPECT_EQ(count(Dtype::kF32, f32, &first), 2);
  EXPECT_EQ(first, 2);
  EXPECT_EQ(count(Dtype::kI32, f32, &first), 0);  // integers are always finite
  EXPECT_EQ(count(Dtype::kF32, std::vector<uint32_t>{}, &first), 0);
}

// Every name of the format and how many bits it has.
TEST(Dtypes, NamesAndBits) {
  const struct {
    const char* name;
    int bits;
  } rows[] = {{"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6},
              {"U8", 8},      {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8},
              {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
              {"U16", 16},    {"F16", 16},        {"BF16", 16},       {"I32", 32},
              {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},
              {"I64", 64},    {"U64", 64}};
  for (const auto& row : rows) {
    const auto dtype = parse_dtype(row.name);
    ASSERT_TRUE(dtype.has_value()) << row.name;
    EXPECT_EQ(dtype_name(*dtype), row.name);
    EXPECT_EQ(dtype_bits(*dtype), row.bits) << row.name;
  }
  EXPECT_EQ(parse_dtype("bf16"), std::nullopt);
  EXPECT_EQ(parse_dtype(""), std::nullopt);
  EXPECT_TRUE(is_weight_dtype(Dtype::kF16) && is_weight_dtype(Dtype::kBF16) &&
              is_weight_dtype(Dtype::kF32));
  EXPECT_TRUE(is_weight_dtype(Dtype::kF64));  // cast down on the way
  EXPECT_FALSE(is_weight_dtype(Dtype::kF8E4M3));
}

}  // namespace
}  // namespace regroup::testing
