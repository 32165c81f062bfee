// Prompts continued together: the tokens of each alone.
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <map>

#include "model/decoder_tools.h"
#include "regroup/model/generate.h"
#include "support/expect_error.h"
#include "support/family_cases.h"

namespace regroup::testing {
namespace {

std::vector<GreedyPrompt> prompts(size_t n) {
  std::vector<GreedyPrompt> made;
  for (size_t i = 0; i < n; ++i) {
    const auto length = static_cast<int64_t>(1 + 7 * i % 19);
    const at::Tensor ids = random_ids(1, length, 64, i + 1).to(at::kInt);
    made.push_back(
        {.ids = std::vector<int32_t>(ids.data_ptr<int32_t>(), ids.data_ptr<int32_t>() + length),
         .max_new_tokens = static_cast<int64_t>(1 + 5 * i % 23)});
  }
  return made;
}

struct Written {
  std::vector<std::vector<int32_t>> ids;
  std::vector<size_t> ended;
};

/// Every prompt's third token is its last where `stops`.
Written write(const Decoder& decoder, const std::vector<GreedyPrompt>& prompts, bool stops) {
  Written written{std::vector<std::vector<int32_t>>(prompts.size()), {}};
  generate_greedily(
      decoder, prompts,
      [&](size_t p, int32_t id) {
        written.ids[p].push_back(id);
        return !stops || written.ids[p].size() < 3;
      },
      [&](size_t p) { written.ended.push_back(p); });
  return written;
}

std::vector<int32_t> alone(const Decoder& decoder, const GreedyPrompt& prompt, bool stops) {
  size_t made = 0;
  return generate(decoder, prompt.ids, {.max_new_tokens = prompt.max_new_tokens},
                  [&](int32_t) { return !stops || ++made < 3; });
}

TEST(GenerateGreedily, EveryPromptIsAsAlone) {
  const std::vector<GreedyPrompt> asked = prompts(21);
  for (const FamilyCase& family : family_cases()) {
    SCOPED_TRACE(family.name);
    const TemporaryFolder folder;
    write_tiny_model(folder / "model", family.spec);
    const Decoder decoder = load_folder(folder / "model");
    for (const bool stops : {false, true}) {
      const Written written = write(decoder, asked, stops);
      for (size_t p = 0; p < asked.size(); ++p) {
        EXPECT_EQ(written.ids[p], alone(decoder, asked[p], stops)) << "prompt " << p;
      }
      std::vector<size_t> ended = written.ended;
      std::sort(ended.begin(), ended.end());
      for (size_t p = 0; p < asked.size(); ++p) EXPECT_EQ(ended.at(p), p);
    }
  }
}

// Tokens that end a text are not part of it, at its start and within.
TEST(GenerateGreedily, EndsOfTexts) {
  const TemporaryFolder folder;
  write_tiny_model(folder / "open", {.n_kv_heads = 2, .extra_config = {{"eos_token_id", nullptr}}});
  const Decoder open = load_folder(folder / "open");
  std::map<int32_t, int> counts;  // the commonest token becomes the end
  for (const GreedyPrompt& prompt : prompts(9)) {
    for (const int32_t id : alone(open, prompt, false)) ++counts[id];
  }
  const auto end = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
                     return a.second < b.second;
                   })->first;
  write_tiny_model(folder / "model", {.n_kv_heads = 2, .extra_config = {{"eos_token_id", end}}});
  const Decoder decoder = load_folder(folder / "model");
  const Written written = write(decoder, prompts(9), false);
  size_t shorter = 0;
  for (size_t p = 0; p < 9; ++p) {
    EXPECT_EQ(written.ids[p], alone(decoder, prompts(9)[p], false)) << p;
    EXPECT_EQ(std::count(written.ids[p].begin(), written.ids[p].end(), end), 0);
    shorter += static_cast<int64_t>(written.ids[p].size()) < prompts(9)[p].max_new_tokens;
  }
  EXPECT_GT(shorter, 0u);
}

// bfloat16: the bits of a text do not depend on what is written beside it.
TEST(GenerateGreedily, InBfloat16) {
  const TemporaryFolder folder;
  write_tiny_model(folder / "model", {.n_kv_heads = 2, .dtype = Dtype::kBF16});
  const Decoder decoder = load_folder(folder / "model", at::kBFloat16);
  const std::vector<GreedyPrompt> asked = prompts(12);
  const Written written = write(decoder, asked, false);
  for (size_t p = 0; p < asked.size(); ++p) {
    EXPECT_EQ(written.ids[p], alone(decoder, asked[p], false)) << p;
  }
}

TEST(GenerateGreedily, ALongTextOfLongropeIsWrittenAlone) {
  const TemporaryFolder folder;
  write_tiny_model(folder / "model", {.model_type = "phi3",
                                      .extra_config = {{"original_max_position_embeddings", 16},
                                                       {"rope_scaling",
                                                        {{"type", "longrope"},
                                                         {"short_factor", {1.0, 1.0, 1.0, 1.0}},
                                                         {"long_factor", {2.0, 3.0, 4.0, 5.0}}}}}});
  const Decoder decoder = load_folder(folder / "model");
  const std::vector<GreedyPrompt> asked = prompts(21);
  const Written written = write(decoder, asked, false);
  for (size_t p = 0; p < asked.size(); ++p) {
    EXPECT_EQ(written.ids[p], alone(decoder, asked[p], false)) << p;
  }
}

TEST(GenerateGreedily, APromptHasATokenAndWorkMayEnd) {
  const TemporaryFolder folder;
  write_tiny_model(folder / "model", {});
  const Decoder decoder = load_folder(folder / "model");
  expect_error<ConfigError>("PROMPT_EMPTY", [&] { write(decoder, {{.ids = {}}}, false); });
  EXPECT_THROW(generate_greedily(
                   decoder, prompts(12), [](size_t, int32_t) { return true; },
                   [](size_t) { throw std::runtime_error("stopped"); }),
               std::runtime_error);
  EXPECT_TRUE(write(decoder, {}, false).ended.empty());
}

}  // namespace
}  // namespace regroup::testing
