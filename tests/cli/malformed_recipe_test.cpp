// What YAML's list of bad recipes comes to in TOML: Y04 to Y07 of the reference's list.
#include <gtest/gtest.h>

#include "recipe.h"
#include "support/bounded.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using Values = std::vector<std::string>;

constexpr int64_t kMebibyte = 1 << 20;

struct Refused {
  const char* id;
  std::string text;
  const char* code;
  const char* says;
};

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(MalformedRecipe, IsRefusedWithItsPlace) {
  const Refused cases[] = {
      {"Y04 lists", "x = " + std::string(100'000, '['), "RECIPE_SYNTAX", "line 1, column "},
      {"Y04 closed lists", "x = " + std::string(100'000, '[') + std::string(100'000, ']'),
       "RECIPE_SYNTAX", "line 1, column "},
      {"Y04 tables", "\nx = " + repeated("{a=", 100'000), "RECIPE_SYNTAX", "line 2, column "},
      {"Y05 merge", "[convert]\n<<: *base\n", "RECIPE_SYNTAX", "line 2, column 1"},
      {"Y05 merge key", "[convert]\n<< = 1\n", "RECIPE_SYNTAX", "line 2, column 1"},
      {"Y05 documents", "---\nseed = 1\n---\nseed = 2\n", "RECIPE_SYNTAX", "line 1, column "},
      {"Y05 quoted twice", "seed = 1\n\"seed\" = 2\n", "RECIPE_DUPLICATE",
       "line 2, column 1: key seed stands twice, first at line 1, column 1"},
      {"Y05 a list of tables", "[convert]\nout = 'x'\n[[convert]]\nout = 'y'\n", "RECIPE_DUPLICATE",
       "line 3, column "},
      {"Y05 YAML", "convert:\n  kv-heads: 2\n", "RECIPE_SYNTAX", "line 1, column "},
      {"Y06 no", "[convert]\noverwrite = no\n", "RECIPE_SYNTAX", "line 2, column "},
      {"Y06 on", "[convert]\noverwrite = on\n", "RECIPE_SYNTAX", "line 2, column "},
      {"Y06 True", "[convert]\noverwrite = True\n", "RECIPE_SYNTAX", "line 2, column "},
      {"Y06 null", "[convert]\nmethod = ~\n", "RECIPE_SYNTAX", "line 2, column "},
      {"Y06 012", "seed = 012\n", "RECIPE_SYNTAX", "line 1, column "},
      {"Y06 .inf", "seed = .inf\n", "RECIPE_SYNTAX", "line 1, column "},
      {"Y06 1__0", "seed = 1__0\n", "RECIPE_SYNTAX", "line 1, column "},
      {"Y06 2^63", "seed = 9223372036854775808\n", "RECIPE_SYNTAX", "line 1, column "},
      {"UTF-8", "seed = \"\xC3\x28\"\n", "RECIPE_SYNTAX", "line 1, column "},
      {"UTF-16", std::string("\xFF\xFEs\0=\0", 6), "RECIPE_SYNTAX", "line 1, column 1"},
      {"NUL", std::string("seed = 1\0\n", 10), "RECIPE_SYNTAX", "line 1, column "},
      {"ESC in a key", "\"\\u001b[2J\" = 1\n\"\\u001b[2J\" = 2\n", "RECIPE_DUPLICATE",
       "key \\u{1b}[2J stands twice"},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.id);
    expect_bounded(c.code, 64 * kMebibyte, 5, [&] { parse_recipe(c.text, "r.toml"); });
    if (::testing::Test::HasFailure()) continue;
    const ErrorInfo error =
        expect_error<ConfigError>(c.code, [&] { parse_recipe(c.text, "r.toml"); });
    EXPECT_TRUE(error.message.starts_with("r.toml: ")) << error.message;
    EXPECT_TRUE(contains(error.message, c.says));
    EXPECT_EQ(error.message.find('\x1B'), std::string::npos);
    EXPECT_LT(error.message.size(), 1000U);
    EXPECT_NE(error.hint, "");
  }
}

// Y05, Y06: what TOML takes, it takes in one way; the flag says whether the value fits.
TEST(MalformedRecipe, WhatTomlTakesIsTyped) {
  const std::pair<const char*, Values> cases[] = {
      {"\tx\t=\t1", {"1"}},     {"x = 1_000", {"1000"}}, {"x = 0o17", {"15"}},
      {"x = 0b11", {"3"}},      {"x = 1e3", {"1e3"}},    {"x = 'no'", {"no"}},
      {"x = \"012\"", {"012"}}, {"x = inf", {"inf"}},    {"x = [1, 'on']", {"1", "on"}},
  };
  for (const auto& [text, values] : cases) {
    EXPECT_EQ(parse_recipe(text, "r.toml").values("", "x"), values) << text;
  }
}

}  // namespace
}  // namespace regroup::testing
