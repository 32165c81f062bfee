// Every input of tests/fuzz, corpora and what fuzzing has found, through the same functions.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "fuzz/targets.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs_of(const std::string& target) {
  std::vector<fs::path> files;
  for (const char* kind : {"corpus", "regressions"}) {
    const fs::path folder = fs::path("tests/fuzz") / kind / target;
    if (!fs::exists(folder)) continue;
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Only Errors may come of an input, and `target` catches those.
void feed(const std::string& name, int (*target)(const uint8_t*, size_t)) {
  const std::vector<fs::path> files = inputs_of(name);
  EXPECT_GE(files.size(), 5U) << "run from the folder that holds tests/fuzz";
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.string());
    const std::string bytes = read_file(file.string());
    EXPECT_NO_THROW(target(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  }
}

TEST(FuzzedInputs, Config) { feed("config", fuzz_config); }
TEST(FuzzedInputs, Safetensors) { feed("safetensors", fuzz_safetensors); }
TEST(FuzzedInputs, Parquet) { feed("parquet", fuzz_parquet); }
TEST(FuzzedInputs, Torch) { feed("torch", fuzz_torch); }
TEST(FuzzedInputs, Tokenizer) { feed("tokenizer", fuzz_tokenizer); }

}  // namespace
}  // namespace regroup::testing
