// What a recipe says, where it says it, and how it is written again. Without the program.
#include "recipe.h"

#include <gtest/gtest.h>

#include "resolved_recipe.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using Values = std::vector<std::string>;

const RecipeEntry& entry(const Recipe& recipe, size_t i) { return recipe.entries.at(i); }

TEST(Recipe, KeepsTheOrderOfTheFileAndSaysWhereThingsStand) {
  const Recipe recipe = parse_recipe(
      "seed = 5\n\n[uptrain]  # last in the alphabet, first in the file\n  lr = 2e-3\n"
      "[convert]\nkv-heads = [4,\n  2]\nplan.tp = 1\n",
      "r.toml");
  ASSERT_EQ(recipe.sections.size(), 2u);
  EXPECT_EQ(recipe.sections[0].name, "uptrain");
  EXPECT_EQ(recipe.sections[0].at, (RecipePlace{3, 2}));
  EXPECT_EQ(recipe.sections[1].name, "convert");
  ASSERT_EQ(recipe.entries.size(), 4u);
  EXPECT_EQ(entry(recipe, 0).name(), "seed");
  EXPECT_EQ(entry(recipe, 1).name(), "uptrain.lr");
  EXPECT_EQ(entry(recipe, 1).key_at, (RecipePlace{4, 3}));
  EXPECT_EQ(entry(recipe, 1).value_at, (RecipePlace{4, 8}));
  EXPECT_EQ(entry(recipe, 2).name(), "convert.kv-heads");
  EXPECT_EQ(entry(recipe, 2).value_at, (RecipePlace{6, 12}));
  EXPECT_EQ(entry(recipe, 3).no_value, "a table");  // a dotted key inside a section
  EXPECT_TRUE(recipe.has_section("uptrain"));
  EXPECT_FALSE(recipe.has_section("plan"));
  EXPECT_EQ(recipe.values("convert", "kv-heads"), (Values{"4", "2"}));
  EXPECT_EQ(recipe.values("convert", "none"), Values{});
}

// A value is what a user would type behind the flag.
TEST(Recipe, ValuesAreTheFlagsText) {
  const std::pair<const char*, Values> cases[] = {
      {"1_000_000", {"1000000"}},
      {"0xff", {"255"}},
      {"-3", {"-3"}},
      {"+3", {"3"}},
      {"1e-3", {"1e-3"}},
      {"20e6", {"20e6"}},
      {"1_0.5", {"10.5"}},
      {"1.0", {"1.0"}},
      {"inf", {"inf"}},
      {"nan", {"nan"}},
      {"true", {"true"}},
      {"false", {"false"}},
      {"\"64k\"", {"64k"}},
      {"\"a\\nb\\u00e9\"", {"a\nb\u00e9"}},
      {"'a\\nb'", {"a\\nb"}},
      {"\"\"\"\na\nb\"\"\"", {"a\nb"}},
      {"\"\"", {""}},
      {"[1, \"a, b\", 2.50, true]  # mixed", {"1", "a, b", "2.50", "true"}},
      {"[\"# no comment\",\n # a comment\n \"=\",\n]", {"# no comment", "="}},
  };
  for (const auto& [text, values] : cases) {
    SCOPED_TRACE(text);
    const Recipe recipe = parse_recipe("\"\u00e9\" = 0\nx = " + std::string(text) + "\n", "r.toml");
    ASSERT_EQ(recipe.entries.size(), 2u);
    EXPECT_EQ(entry(recipe, 1).values, values);
    EXPECT_EQ(entry(recipe, 1).no_value, "");
    EXPECT_EQ(entry(recipe, 1).list, text[0] == '[');
  }
}

TEST(Recipe, FloatsAreFoundBehindCharactersOfSeveralBytes) {
  const Recipe recipe =
      parse_recipe("\xEF\xBB\xBF\"\u00e9\u20ac\".lr = 1e-3\r\nx = [ '\u20ac', 2e-4 ]\r\n", "");
  EXPECT_EQ(recipe.values("\u00e9\u20ac", "lr"), Values{"1e-3"});
  EXPECT_EQ(recipe.values("", "x"), (Values{"\u20ac", "2e-4"}));
}

TEST(Recipe, WhatNoFlagTakesIsKeptForTheMessage) {
  const std::pair<const char*, const char*> cases[] = {
      {"2026-11-30", "a date"},
      {"12:30:00", "a time"},
      {"2026-11-30T12:30:00Z", "a date with its time"},
      {"[[1], 2]", "a list in a list"},
      {"[{a = 1}]", "a table in a list"},
      {"[1, 2026-11-30]", "a date in a list"},
      {"[]", "an empty list"}};
  for (const auto& [text, found] : cases) {
    EXPECT_EQ(entry(parse_recipe("x = " + std::string(text), ""), 0).no_value, found) << text;
  }
}

/// The error of a recipe, without the path before it.
ErrorInfo refusal(const std::string& code, const std::string& text) {
  ErrorInfo error = expect_error<ConfigError>(code, [&] { parse_recipe(text, "r.toml"); });
  EXPECT_EQ(error.path, "r.toml");
  EXPECT_NE(error.hint, "");
  EXPECT_TRUE(error.message.starts_with("r.toml: ")) << error.message;
  error.message.erase(0, 8);
  return error;
}

struct Refused {
  const char* text;
  const char* code;
  const char* message;
};

TEST(Recipe, SyntaxErrorsNameLineAndColumn) {
  const Refused cases[] = {
      {"[convert\nkv-heads\n", "RECIPE_SYNTAX", "line 1, column 9: must be TOML: "},
      {"[convert]\nkv-heads\n", "RECIPE_SYNTAX", "line 2, column 9: must be TOML: "},
      {"[convert]\nkv-heads = two\n", "RECIPE_SYNTAX", "line 2, column 13: must be TOML: "},
      {"[convert]\nkv-heads = @\n", "RECIPE_SYNTAX", "line 2, column 12: must be TOML: "},
      {"a = 1\nb = [1,\n2\n", "RECIPE_SYNTAX", "line 3, column 3: must be TOML: "},
      {"a = \"x\n", "RECIPE_SYNTAX", "line 1, column 7: must be TOML: "},
      {"a = 99999999999999999999\n", "RECIPE_SYNTAX", "line 1, column 25: must be TOML: "},
      {"{\"models\": [1]}", "RECIPE_SYNTAX", "line 1, column 1: must be TOML: "},
      {"\xff\xfe[\0c", "RECIPE_SYNTAX", "line 1, column 1: must be TOML: "},
      {"a = 1\na\x01 = 2\n", "RECIPE_SYNTAX", "line 2, column 2: must be TOML: "},
      {"x = {a = 1, a = 2}\n", "RECIPE_SYNTAX", "line 1, column 17: must be TOML: "},
      {"a = 1\nb = 2 c = 3\n", "RECIPE_SYNTAX", "line 2, column 7: must be TOML: "},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.text);
    const std::string message = refusal(c.code, c.text).message;
    EXPECT_TRUE(message.starts_with(c.message)) << message;
  }
}

TEST(Recipe, DuplicatesNameBothPlaces) {
  const Refused cases[] = {
      {"[convert]\nkv-heads = 2\nmethod = 'x'\n  kv-heads = 4\n", "RECIPE_DUPLICATE",
       "line 4, column 3: key convert.kv-heads stands twice, first at line 2, column 1"},
      {"seed = 1\nseed = \"\"\"\n2\"\"\"\n", "RECIPE_DUPLICATE",
       "line 2, column 1: key seed stands twice, first at line 1, column 1"},
      {"[convert]\nkv-heads = 2\n[plan]\n[convert]\nout = 'x'\n", "RECIPE_DUPLICATE",
       "line 4, column 2: section [convert] stands twice, first at line 1, column 2"},
      {"convert.out = 'x'\nconvert.out = 'y'\n", "RECIPE_DUPLICATE",
       "line 2, column 1: key convert.out stands twice, first at line 1, column 9"},
      {"[convert]\nout = 'x'\n[convert.out]\n", "RECIPE_DUPLICATE",
       "line 3, column 2: section [convert.out] stands twice, first at line 2, column 1"},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(refusal(c.code, c.text).message, c.message);
  }
}

// Keys of many parts are tables in tables: taking them apart must not end the process.
TEST(Recipe, HugeFilesEndInAMessage) {
  std::string dots = "a";
  for (int i = 0; i < 500'000; ++i) dots += ".a";
  EXPECT_EQ(refusal("RECIPE_SYNTAX", "x = 1\n" + dots + " = 1\n").message,
            "line 2, column 1: a recipe must hold at most 10000 dots, found more");
  const std::string too_long = "a recipe must have at most 1048576 bytes, found more";
  EXPECT_EQ(refusal("LIMIT_FILE_SIZE", std::string((1 << 20) + 1, '#')).message, too_long);
  EXPECT_TRUE(parse_recipe(std::string(1 << 20, '#'), "r.toml").entries.empty());
  const TemporaryFolder folder;
  folder.write("big.toml", std::string((1 << 20) + 1, '\n'));
  const ErrorInfo error =
      expect_error<ConfigError>("LIMIT_FILE_SIZE", [&] { read_recipe(folder / "big.toml"); });
  EXPECT_TRUE(error.message.ends_with(too_long)) << error.message;
  std::string numbers = "x = [1e5";
  while (numbers.size() < 1'000'000) numbers += ",1e5";
  EXPECT_EQ(parse_recipe(numbers + "]", "r.toml").entries.at(0).values.size(), 249'999u);
}

TEST(ResolvedRecipe, ReadsBackAsWritten) {
  for (const std::string text :
       {"64k",         "1e-3", "5",   "007",        "0x10",        "1_000",
        "true",        "yes",  "",    "a b",        "\"",          "\\n",
        "\n<|end|>\n", "it's", "[1]", "2026-11-30", "1\nseed = 9", "\x01\x7f",
        "\u00e9",      ".5",   "+5",  "inf",        "{}",          "#"}) {
    const Recipe recipe = parse_recipe("x=" + recipe_value(text) + "\n", "");
    ASSERT_EQ(recipe.entries.size(), 1u) << text;
    EXPECT_EQ(recipe.entries[0].values, Values{text});
  }
  EXPECT_EQ(recipe_value("1e-3"), "1e-3");
  EXPECT_EQ(recipe_value("true"), "true");
  EXPECT_EQ(recipe_value("a\\n\"b\""), R"("a\\n\"b\"")");
}

TEST(ResolvedRecipe, HoldsEveryFlagThatHasAValue) {
  CLI::App command("", "uptrain");
  std::string out, left_out, schedule = "wsd";
  std::vector<std::string> data;
  bool overwrite = false;
  command.add_option("OUT,--out", out);
  command.add_option("--left-out", left_out);
  command.add_option("--schedule", schedule)->capture_default_str();
  command.add_option("--data", data);
  command.add_flag("--overwrite", overwrite);
  command.parse("--data a.txt b.txt --out \"a \\\"b\"", false);
  Globals globals;
  globals.seed = 3;
  EXPECT_EQ(
      resolved_recipe(globals, command),
      "seed = 3\nthreads = 0\ndevice = \"auto\"\n\n[uptrain]\nout=\"a \\\"b\"\nschedule=\"wsd\"\n"
      "data=[\"a.txt\", \"b.txt\"]\noverwrite=false\n");
}

}  // namespace
}  // namespace regroup::testing
