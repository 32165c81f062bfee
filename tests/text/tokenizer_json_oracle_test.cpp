// Ids and texts against the tokenizers package, on tokenizers assembled from the parts that families publish, and
// on every character of Unicode for the classes and normal forms that those parts use.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "oracles/oracle.h"
#include "regroup/base/path.h"
#include "regroup/text/tokenizer.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using OrderedJson = nlohmann::ordered_json;
using Ids = std::vector<int32_t>;

/// Sentences, code, scripts, emoji, white space and control characters, special tokens in a text.
std::vector<std::string> hard_texts() {
  std::vector<std::string> texts = {
      "",
      " ",
      "  ",
      "\n",
      "\r\n\t \n",
      "a",
      " a",
      "a ",
      "   leading",
      "trailing   \n\n",
      "Don't I'LL she'S we'Ve THEY'RE 'T '\u017F",
      "12345678 \u00BD \u00B2\u00B3 \u2167 \u0661\u0662\u0663 3.14",
      "def f(x):\n    return x**2  # h\u00E9llo\n\n\n\tif (a&&b)||c{}[]<>;",
      "\u00E9 e\u0301 \u1100\u1161\u11A8 \uAC00\u11A8 \uFB01 \u212B a\u0323\u0307 a\u0307\u0323",
      "\u4E2D\u6587\u5B57\u7B26\uFF0C\u548C\u65E5\u672C\u8A9E\u30C6\u30B9\u30C8\u3002\uD55C\uAD6D"
      "\uC5B4",
      "\u0627\u0644\u0639\u0631\u0628\u064A\u0629 \u0939\u093F\u0928\u094D\u0926\u0940 "
      "\u0E44\u0E17\u0E22 \u0440\u0443\u0301\u0441\u0441\u043A\u0438\u0439",
      "\U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA "
      "\U0001F44D\U0001F3FD\U0001F642\U0001F642",
      std::string("\0\x01\x7F\x1B[0m", 7),
      "<s>a</s><|end|> <unk> [INST]x[INST] <x> y <tool_call>z<tool>  <table>",
      "\u2581\u2581a b\u2581c   \u2581",
      "\u00A0\u00A0a\u2028x\u0085y\u180Ez\u3000\uFEFF",
      std::string(300, 'a') + std::string(200, ' ') + "b" + std::string(99, '!')};
  const std::vector<std::string> pool = {
      "a",          "The",    "ing",     " ",      " ",      " ",      "  ",
      "\n",         "\t",     "1",       "23",     ".",      ", ",     "'s",
      "'LL",        "\u00E9", "e\u0301", "\u4E2D", "\uD55C", "\u05D0", "\u0915\u094D",
      "\U0001F642", "\u200D", "\u0301",  "_",      "(",      ")\n",    "\u00A0",
      "Z",          "\r\n",   "\uFF0C",  "\u2581"};
  uint32_t state = 1;
  const auto next = [&] { return state = state * 1664525 + 1013904223; };
  for (int i = 0; i < 600; ++i) {
    std::string text;
    for (uint32_t n = next() >> 27; n > 0; --n) text += pool[(next() >> 8) % pool.size()];
    texts.push_back(text);
  }
  const std::string readme = read_file("README.md");
  for (size_t at = 0; at + 1500 < readme.size(); at += 1500) {
    const std::string part = readme.substr(at, 1500);  // ASCII where it is cut, or left out
    const bool whole = static_cast<unsigned char>(part.front()) < 0x80 &&
                       static_cast<unsigned char>(readme[at + 1500]) < 0x80;
    if (whole) texts.push_back(part);
  }
  return texts;
}

void compare_all(const std::string& what) {
  const TemporaryFolder folder;
  const std::vector<std::string> asked = hard_texts();
  const OrderedJson answer =
      ask_oracle("tokenizer_json.py", folder, {{"what", what}, {"texts", asked}});
  ASSERT_FALSE(answer.is_null());
  EXPECT_GT(answer.size(), 15U);
  for (const auto& [name, expected] : answer.items()) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::open(folder / name);
    Tokenizer parsing = Tokenizer::open(folder / name);
    parsing.parse_special_tokens();
    const std::vector<std::string> texts =
        expected.contains("texts") ? expected["texts"].get<std::vector<std::string>>() : asked;
    ASSERT_EQ(expected["ids"].size(), texts.size());
    for (size_t i = 0; i < texts.size() && !::testing::Test::HasFailure(); ++i) {
      const Ids ids = tokenizer.encode(texts[i]);
      ASSERT_TRUE(ids == expected["ids"][i].get<Ids>())
          << "text " << i << ": " << texts[i].substr(0, 200);
      if (expected.contains("parsed")) {
        ASSERT_TRUE(parsing.encode(texts[i]) == expected["parsed"][i].get<Ids>())
            << "special tokens in text " << i << ": " << texts[i].substr(0, 200);
      }
      // BOS is no text here.
      const bool bos = tokenizer.adds_bos();
      const std::string shown =
          expected["decoded"][i].get<std::string>().substr(bos ? std::string("<|end|>").size() : 0);
      ASSERT_EQ(tokenizer.decode(ids), shown) << "text " << i;
      const int64_t all = tokenizer.prefix_bytes(texts[i], ids.size());
      EXPECT_TRUE(all == static_cast<int64_t>(texts[i].size()) || ids.size() <= (bos ? 1U : 0U))
          << all;
    }
  }
}

TEST(TokenizersPackage, GivesTheSameIdsForTheFamilies) {
  REGROUP_REQUIRE_ORACLE();
  compare_all("families");
}

TEST(TokenizersPackage, HasTheSameClassesAndNormalForms) {
  REGROUP_REQUIRE_ORACLE();
  compare_all("classes");
}

/// The package's ids for real tokenizers, from the vectors that lie beside the project.
TEST(TokenizersPackage, GaveThePublishedVectors) {
  const std::string shared = "../shared/tokenizers/";
  if (!path_exists(shared + "gpt2/vocab.json")) GTEST_SKIP() << "no " << shared;
  const std::string separator = "\n__ggml_vocab_test__\n";
  for (const auto& [model, vectors] : {std::pair{"gpt2", "gpt-2"}, {"gpt-neox", "mpt"}}) {
    SCOPED_TRACE(model);
    const Tokenizer tokenizer = Tokenizer::open(shared + model);
    const std::string all = read_file(shared + "vectors/" + vectors + ".inp");
    std::ifstream lines(shared + "vectors/" + vectors + ".out");
    int n = 0;
    for (size_t at = 0, end; (end = all.find(separator, at)) != std::string::npos;
         at = end + separator.size(), ++n) {
      std::string line;
      ASSERT_TRUE(std::getline(lines, line));
      std::istringstream numbers(line);
      Ids expected;
      for (int32_t id; numbers >> id;) expected.push_back(id);
      EXPECT_EQ(tokenizer.encode(all.substr(at, end - at), false, false), expected) << n;
    }
    EXPECT_EQ(n, 46);
  }
}

}  // namespace
}  // namespace regroup::testing
