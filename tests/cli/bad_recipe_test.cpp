// Recipes as the program takes them: each mistake with its line and column, and what wins over what.
#include <filesystem>

#include "cli_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

TEST(BadRecipe, IsNamedWithTheNearestKey) {
  const auto recipe = [](const std::string& text) {
    return [=](const Workplace& w) { w.folder.write("r.toml", text); };
  };
  const Words convert = {"--recipe", "@r.toml", "convert", "MODEL", "OUT"};
  check_all({
      {"key",
       recipe("[convert]\nkv-hed = 2\n"),
       convert,
       2,
       "RECIPE_UNKNOWN_KEY",
       {"@r.toml", "line 2, column 1: unknown key convert.kv-hed",
        "did you mean convert.kv-heads?"}},
      {"section",
       recipe("[convrt]\nkv-heads = 2\n"),
       convert,
       2,
       "RECIPE_UNKNOWN_SECTION",
       {"@r.toml", "line 1, column 2: unknown section [convrt]", "did you mean [convert]?"}},
      {"key in run",
       recipe("[convert]\nkv-hed = 2\n"),
       {"run", "@r.toml", "--out", "OUT"},
       2,
       "RECIPE_UNKNOWN_KEY",
       {"@r.toml", "line 2, column 1: ", "did you mean convert.kv-heads?"}},
      {"another file",
       [](const Workplace& w) { w.folder.write("plan.json", "{\"models\": [1]}"); },
       {"run", "@plan.json", "--out", "OUT"},
       2,
       "RECIPE_SYNTAX",
       {"@plan.json", "line 1, column 1: must be TOML", "a recipe is a TOML file"}},
      {"a key twice",
       recipe("[convert]\nkv-heads = 2\nmethod = \"mean\"\nkv-heads = 4\n"),
       {"run", "@r.toml", "--out", "OUT"},
       2,
       "RECIPE_DUPLICATE",
       {"@r.toml", "line 4, column 1: key convert.kv-heads stands twice, first at line 2, column 1",
        "keep one of the two"}},
      {"no TOML",
       recipe("[convert\nkv-heads\n"),
       convert,
       2,
       "RECIPE_SYNTAX",
       {"@r.toml", "line 1, column 9: ", "key = value"}},
      {"no TOML in run",
       recipe("[convert\nkv-heads\n"),
       {"run", "@r.toml", "--out", "OUT"},
       2,
       "RECIPE_SYNTAX",
       {"@r.toml", "line 1, column 9: "}},
      {"a wrong value",
       recipe("[convert]\nkv-heads = \"two\"\n"),
       convert,
       2,
       "FLAG_VALUE",
       {"@r.toml", "line 2, column 12: --kv-heads must be a whole number", "found two",
        "regroup convert --help"}},
      {"absent",
       {},
       {"--recipe", "@none.toml", "plan", "MODEL"},
       2,
       "RECIPE_MISSING",
       {"@none.toml", "cannot be read", "spelling"}},
      {"absent in run",
       {},
       {"run", "@none.toml", "--out", "OUT"},
       2,
       "RECIPE_MISSING",
       {"@none.toml", "cannot be read", "spelling"}},
      {"a folder", {}, {"run", "MODEL", "--out", "OUT"}, 2, "RECIPE_MISSING", {"MODEL"}},
      {"no parent",
       recipe("[convert]\nkv-heads = 2\n"),
       {"run", "@r.toml", "--out", "OUT"},
       2,
       "RECIPE_MISSING_KEY",
       {"@r.toml", "model in section [convert]"}},
  });
}

/// A mistake in a recipe, given to `convert` or any other command alike.
struct Mistake {
  const char* text;
  const char* code;
  const char* message;
  const char* hint;
};

TEST(BadRecipe, EveryMessageHasItsPlace) {
  const Mistake cases[] = {
      {"seed = 1\nkv-heads = 2\n", "RECIPE_UNKNOWN_KEY", "line 2, column 1: unknown key kv-heads",
       "kv-heads is a key of [plan], [replay], [convert], [compare]"},
      {"[convert]\n  seed = 2\n", "RECIPE_UNKNOWN_KEY",
       "line 2, column 3: unknown key convert.seed", "write seed above the first section"},
      {"[convert]\nhelp = true\n", "RECIPE_UNKNOWN_KEY",
       "line 2, column 1: unknown key convert.help", "did you mean convert.field?"},
      {"[convert.qqqqqqqqqqqqq]\nx = 1\n", "RECIPE_UNKNOWN_KEY",
       "line 1, column 10: unknown key convert.qqqqqqqqqqqqq",
       "see regroup COMMAND --help for the keys of its section"},
      {"[qqqqqqqqq]\n", "RECIPE_UNKNOWN_SECTION", "line 1, column 2: unknown section [qqqqqqqqq]",
       "sections are plan, replay, convert"},
      {"plan = 3\n", "RECIPE_TYPE",
       "line 1, column 8: plan must be a section, [plan], found a value",
       "write [plan] on a line of its own"},
      {"[plan]\n\n[[convert]]\nkv-heads = 2\n", "RECIPE_TYPE",
       "convert must be a section, [convert], found a table in a list", "once"},
      {"[seed]\n", "RECIPE_TYPE", "line 1, column 2: seed must be one value, found a section",
       "write seed = VALUE above the first section"},
      {"[convert]\nkv-heads = 2026-11-30\n", "RECIPE_TYPE",
       "line 2, column 12: convert.kv-heads must be a value or a list, found a date", "--kv-heads"},
      {"[convert]\nmethod = {a = 1}\n", "RECIPE_TYPE",
       "line 2, column 10: convert.method must be one value, found a table", "--method"},
      {"[convert]\nmethod = [\"mean\", \"first\"]\n", "RECIPE_TYPE",
       "line 2, column 10: convert.method must be one value, found a list of 2", "--method"},
      {"[convert]\noverwrite = [true]\n", "RECIPE_TYPE",
       "line 2, column 13: convert.overwrite must be true or false, found a list of 1",
       "--overwrite"},
      {"[convert]\nkv-heads = [2, [4]]\n", "RECIPE_TYPE",
       "line 2, column 16: convert.kv-heads must be a value or a list, found a list in a list", ""},
      {"[convert]\ncalibration = []\n", "RECIPE_TYPE",
       "line 2, column 15: convert.calibration must be a value or a list, found an empty list",
       "leave the key out for its default"},
      {"[convert]\noverwrite = \"maybe\"\n", "FLAG_VALUE",
       "line 2, column 13: --overwrite must be true or false, found maybe",
       "see regroup convert --help"},
      {"threads = -1\n", "FLAG_VALUE", "line 1, column 11: --threads must be a whole number from 0",
       "see regroup --help"},
      // Of a command that is not in use, too.
      {"[uptrain]\nlr = true\n", "FLAG_VALUE", "line 2, column 6: --lr must be a number",
       "uptrain"},
      // Found by the command, not by the parser of flags.
      {"[convert]\n\nmax-shard-size = \"5\"\n", "FLAG_VALUE",
       "line 3, column 18: --max-shard-size must", ""},
      {"[convert]\nkv-heads = [2, 4]\n", "KV_HEADS",
       "line 2, column 12: --kv-heads must be one number, found 2, 4", "regroup run"},
  };
  for (const Mistake& c : cases) {
    SCOPED_TRACE(c.text);
    const Workplace w;
    const std::string path = w.folder.write("r.toml", c.text);
    const Words command = {"--recipe", path, "convert", w.model, w.out};
    const bool kv_heads = contains(c.text, "kv-heads");
    const Json error =
        mistake(w, kv_heads ? command : with(command, {"--kv-heads", "2"}), 2, c.code);
    EXPECT_TRUE(contains(text(error, "message"), c.message));
    EXPECT_TRUE(contains(text(error, "hint"), c.hint));
    EXPECT_NE(text(error, "hint"), "");
    EXPECT_EQ(text(error, "path"), path);
  }
}

TEST(BadRecipe, AboveOneMebibyteIsRefused) {
  const Workplace w;
  const std::string path = w.folder.write("r.toml", std::string((1 << 20) + 1, '\n'));
  for (const Words& command : {Words{"--recipe", path, "plan", w.model}, Words{"run", path}}) {
    const Json error = mistake(w, command, 2, "LIMIT_FILE_SIZE");
    EXPECT_EQ(text(error, "path"), path);
    EXPECT_TRUE(contains(text(error, "message"), "at most 1048576 bytes"));
  }
}

TEST(Recipes, FlagsWin) {
  const Workplace w;
  w.folder.write("r.toml", "seed = 3\n[plan]\nkv-heads = [4, 2]\ncontext = 1_024\nbatch = 2\n");
  const auto plan = [&](const Words& more) {
    const Finished run =
        regroup(with({"--recipe", w.folder / "r.toml", "plan", w.model, "--json"}, more));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Json::parse(run.out, nullptr, false);
  };
  const Json by_recipe = plan({});
  EXPECT_EQ(by_recipe.at("context"), 1024);
  EXPECT_EQ(by_recipe.at("batch"), 2);
  EXPECT_EQ(by_recipe.at("options").size(), 2u);
  const Json by_flags = plan({"--kv-heads", "1", "--context", "64"});
  EXPECT_EQ(by_flags.at("context"), 64);
  EXPECT_EQ(by_flags.at("batch"), 2);
  EXPECT_EQ(by_flags.at("options").size(), 1u);
  // A wrong value that a flag replaces is nobody's mistake; one behind a flag is not the recipe's.
  w.folder.write("r.toml", "[plan]\ncontext = \"none\"\n");
  EXPECT_EQ(plan({"--context", "64"}).at("context"), 64);
  const Json error = mistake(
      w, {"--recipe", w.folder / "r.toml", "plan", w.model, "--context", "x"}, 2, "FLAG_VALUE");
  EXPECT_FALSE(error.contains("path"));
  EXPECT_FALSE(contains(text(error, "message"), "line"));
}

TEST(Recipes, OfTheRepositoryAreAccepted) {
  const Workplace w;  // verify does not touch what a recipe says, but the whole recipe is parsed
  int recipes = 0;
  for (const auto& entry : fs::directory_iterator("recipes")) {
    if (entry.path().extension() != ".toml") continue;
    ++recipes;
    const Finished run = regroup({"--recipe", entry.path().string(), "verify", w.model});
    EXPECT_EQ(run.exit_code, 0) << entry.path() << ": " << run.err;
  }
  EXPECT_GE(recipes, 6);
}

}  // namespace
}  // namespace regroup::testing
