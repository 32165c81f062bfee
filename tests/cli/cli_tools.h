#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "regroup/base/path.h"
#include "regroup/base/strict_json.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {

using Words = std::vector<std::string>;

constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

inline Finished regroup(const Words& arguments) { return run_process(REGROUP_BINARY, arguments); }

/// A model with 8 query heads and 4 key/value heads, and a folder to work in.
struct Workplace {
  Workplace() {
    write_tiny_model(folder / "model",
                     {.n_layers = 1, .n_heads = 8, .n_kv_heads = 4, .head_dim = 4});
    model = folder / "model";
    out = folder / "out";
  }
  TemporaryFolder folder;
  std::string model;
  std::string out;
};

/// True if stderr is a message for a user and not the death of a program.
inline ::testing::AssertionResult is_civil(const std::string& err) {
  for (const char* rude : {"terminate called", "what():", "internal error", "Exception raised from",
                           "frame #", "Aborted", "Segmentation"}) {
    if (err.find(rude) != std::string::npos) {
      return ::testing::AssertionFailure() << "\"" << rude << "\" in \"" << err << "\"";
    }
  }
  return ::testing::AssertionSuccess();
}

/// Runs a mistake with --json: one error object on stdout, the same words on stderr, and not a byte
/// of the working folder is different.
inline Json mistake(const Workplace& w, Words arguments, int exit_code, const std::string& code) {
  SCOPED_TRACE(fmt::format("{}", fmt::join(arguments, " ")));
  const std::string before = read_tree(w.folder.path());
  arguments.emplace_back("--json");
  const Finished run = regroup(arguments);
  EXPECT_EQ(run.exit_code, exit_code) << run.err;
  EXPECT_TRUE(is_civil(run.err));
  EXPECT_TRUE(read_tree(w.folder.path()) == before) << "the folder changed";
  const Json object = Json::parse(run.out, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || object.size() != 1 || !object.contains("error")) {
    ADD_FAILURE() << "not one error object: " << run.out;
    return {{"message", ""}, {"hint", ""}};
  }
  Json error = object["error"];
  EXPECT_EQ(error.value("code", ""), code) << run.out;
  EXPECT_EQ(error.value("exit", -1), exit_code);
  EXPECT_TRUE(contains(run.err, fmt::format("error[{}] ", code)));
  EXPECT_TRUE(contains(run.err, error.value("message", "?")));
  if (!error.contains("hint")) error["hint"] = "";
  return error;
}

inline std::string text(const Json& error, const char* key) { return error.value(key, ""); }

/// "MODEL", "OUT" and "@name" in a command or in expected words stand for paths of the workplace.
inline std::string resolved(const Workplace& w, const std::string& word) {
  if (word == "MODEL") return w.model;
  if (word == "OUT") return w.out;
  return word.starts_with('@') ? w.folder / word.substr(1) : word;
}

struct BadInput {
  const char* why;
  std::function<void(const Workplace&)> prepare;
  Words command;
  int exit_code;
  const char* code;
  Words words;  // all of them on stderr
};

inline void check_all(const std::vector<BadInput>& cases) {
  for (const BadInput& c : cases) {
    SCOPED_TRACE(c.why);
    const Workplace w;
    if (c.prepare) c.prepare(w);
    const bool out_was_there = path_exists(w.out);
    Words command;
    for (const std::string& word : c.command) command.push_back(resolved(w, word));
    const Json error = mistake(w, command, c.exit_code, c.code);
    const std::string err =
        fmt::format("{}: {} ({}) {}", text(error, "path"), text(error, "message"),
                    text(error, "hint"), text(error, "tensor"));
    EXPECT_NE(text(error, "hint"), "") << "nothing says what to do: " << err;
    for (const std::string& word : c.words) EXPECT_TRUE(contains(err, resolved(w, word)));
    EXPECT_EQ(path_exists(w.out), out_was_there);
    EXPECT_FALSE(path_exists(w.out + ".partial"));
  }
}

inline const Words kConvert = {"convert", "MODEL", "OUT", "--kv-heads", "2"};

inline Words with(Words command, const Words& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

}  // namespace regroup::testing
