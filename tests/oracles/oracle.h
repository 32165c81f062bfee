#pragma once

#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "support/temporary_folder.h"

namespace regroup::testing {

/// The Python that has transformers: $REGROUP_ORACLE_PYTHON, else .deps/oracles of the repository.
inline std::optional<std::string> oracle_python() {
  const char* given = std::getenv("REGROUP_ORACLE_PYTHON");
  const std::string path = given != nullptr ? given : ".deps/oracles/bin/python";
  if (::access(path.c_str(), X_OK) != 0) return std::nullopt;
  return path;
}

/// Runs tests/oracles/`script` on request.json of `folder`, which holds `request`.
/// @return what it wrote to answer.json; null when it failed (its output is on stderr)
inline nlohmann::ordered_json ask_oracle(const std::string& script, const TemporaryFolder& folder,
                                         const nlohmann::ordered_json& request) {
  folder.write("request.json", request.dump());
  const std::string command = "HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 " + oracle_python().value() +
                              " tests/oracles/" + script + " " + folder.path() + " 1>&2";
  if (std::system(command.c_str()) != 0) return nullptr;
  return nlohmann::ordered_json::parse(read_file(folder / "answer.json"));
}

}  // namespace regroup::testing

/// Skips a test where there is no Python to ask.
#define REGROUP_REQUIRE_ORACLE()                                                               \
  if (!regroup::testing::oracle_python()) {                                                    \
    GTEST_SKIP() << "no Python with transformers: set REGROUP_ORACLE_PYTHON or install it in " \
                    ".deps/oracles";                                                           \
  }                                                                                            \
  static_assert(true, "a semicolon follows")
