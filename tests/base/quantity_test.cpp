// Sizes, counts and contexts as people write them.
#include "regroup/base/quantity.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

struct Quantity {
  const char* text;
  int64_t value;
};

TEST(Size, UnitsOf1000And1024) {
  const Quantity cases[] = {
      {"1B", 1},
      {"1048576", 1'048'576},
      {"100B", 100},
      {"1k", 1000},
      {"1K", 1000},
      {"1KB", 1000},
      {"1Ki", 1024},
      {"1KiB", 1024},
      {"1kib", 1024},
      {"512M", 512'000'000},
      {"1.5GB", 1'500'000'000},
      {"80GiB", int64_t{80} << 30},
      {"80 GiB", int64_t{80} << 30},
      {"0.5Ki", 512},
      {"2T", 2'000'000'000'000},
      {"1TiB", int64_t{1} << 40},
      {"8e9", 8'000'000'000},
  };
  for (const Quantity& c : cases) EXPECT_EQ(parse_size(c.text, "--gpu-memory"), c.value) << c.text;
}

// 80 for 80GiB: without the unit it would mean 80 bytes.
TEST(Size, ASmallNumberNeedsItsUnit) {
  const ErrorInfo error =
      expect_error<ConfigError>("FLAG_VALUE", [] { parse_size("80", "--gpu-memory"); });
  EXPECT_EQ(error.message, "--gpu-memory must have a unit, found \"80\", which is 80 bytes");
  EXPECT_EQ(error.hint, "write 80GiB, 80MiB, or 80B if bytes are meant");
  for (const char* text : {"1", "1048575", "1.5", "1e3"}) {
    SCOPED_TRACE(text);
    expect_error<ConfigError>("FLAG_VALUE", [&] { parse_size(text, "--max-shard-size"); });
  }
}

TEST(Count, UnitsOf1000) {
  const Quantity cases[] = {
      {"1", 1},         {"614400", 614'400}, {"5M", 5'000'000},     {"20e6", 20'000'000},
      {"64k", 64'000},  {"1.5k", 1500},      {"2G", 2'000'000'000}, {"1T", 1'000'000'000'000},
      {"0.7M", 700'000}};
  for (const Quantity& c : cases) EXPECT_EQ(parse_count(c.text, "--tokens"), c.value) << c.text;
}

TEST(Duration, HasAUnit) {
  EXPECT_EQ(parse_duration("90s", "--b"), 90.0);
  EXPECT_EQ(parse_duration("10min", "--b"), 600.0);
  EXPECT_EQ(parse_duration("1.5h", "--b"), 5400.0);
  for (const char* text : {"", "10", "0s", "-1min", "nans", "infh", "10m", "10 min", "1h30"}) {
    SCOPED_TRACE(text);
    const ErrorInfo error =
        expect_error<ConfigError>("FLAG_VALUE", [&] { parse_duration(text, "--b"); });
    EXPECT_TRUE(error.message.starts_with("--b must be a positive time such as 90s, 10min"));
  }
}

TEST(Context, UnitsOf1024) {
  const Quantity cases[] = {{"4096", 4096},    {"64k", 65'536}, {"64K", 65'536},
                            {"1M", 1'048'576}, {"0.5k", 512},   {"128k", 131'072}};
  for (const Quantity& c : cases) EXPECT_EQ(parse_context(c.text, "--context"), c.value) << c.text;
}

TEST(Quantity, RefusesTheRest) {
  for (const char* text : {"",   " ",      "x",    "-1",    "-5M",   "+5",
                           "0",  "0.4",    "inf",  "nan",   "1e400", "99999999999999999999",
                           "5Q", "5MM",    "0x10", "1,000", "1_000", "5 0",
                           "k",  "10GiBB", "1e"}) {
    SCOPED_TRACE(text);
    expect_error<ConfigError>("FLAG_VALUE", [&] { parse_size(text, "--size"); });
    expect_error<ConfigError>("FLAG_VALUE", [&] { parse_count(text, "--count"); });
    expect_error<ConfigError>("FLAG_VALUE", [&] { parse_context(text, "--context"); });
  }
  // Counts are whole, and have no bytes.
  for (const char* text : {"1.5", "0.0001k", "5MB", "5Mi", "1KiB"}) {
    SCOPED_TRACE(text);
    expect_error<ConfigError>("FLAG_VALUE", [&] { parse_count(text, "--count"); });
  }
}

TEST(Quantity, MessagesNameTheFlag) {
  EXPECT_EQ(
      expect_error<ConfigError>("FLAG_VALUE", [] { parse_size("lots", "--gpu-memory"); }).message,
      "--gpu-memory must be a positive size such as 80GiB, 1.5GB or 512M, found \"lots\"");
  EXPECT_EQ(expect_error<ConfigError>("FLAG_VALUE", [] { parse_count("-1", "--tokens"); }).message,
            "--tokens must be a positive whole number such as 1000, 5M or 20e6, found \"-1\"");
  EXPECT_EQ(
      expect_error<ConfigError>("FLAG_VALUE", [] { parse_context("0", "--context"); }).message,
      "--context must be a positive number of tokens such as 4096 or 64k (= 65,536), found \"0\"");
}

}  // namespace
}  // namespace regroup::testing
