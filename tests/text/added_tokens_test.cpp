// Added tokens of a tokenizer.json in texts: special or not, and beyond the rows of a model. Worked out by hand.
#include <gtest/gtest.h>

#include "regroup/base/notice.h"
#include "support/expect_error.h"
#include "text/json_folder.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;

TEST(AddedTokens, SpecialOnesStayTextAndOthersAreFound) {
  const Tokenizer tokenizer = JsonFolder(tiny_tokenizer_json()).open();
  EXPECT_EQ(tokenizer.encode("<|end|>ab"), (Ids{3}));
  EXPECT_EQ(tokenizer.encode("<tool>ab<tool>"), (Ids{7, 3, 7}));
  EXPECT_EQ(tokenizer.encode("ab <tool> ab"), (Ids{3, 2, 7, 4}));
  EXPECT_EQ(tokenizer.decode({4, 7, 6, 3}), " ab<tool><|end|>ab");
}

TEST(AddedTokens, SpecialOnesAreFoundWhenAskedFor) {
  Tokenizer tokenizer = JsonFolder(tiny_tokenizer_json()).open();
  tokenizer.parse_special_tokens();
  EXPECT_EQ(tokenizer.encode("<|end|>ab"), (Ids{6, 3}));
  EXPECT_EQ(tokenizer.encode("ab<|end|><tool> ab<|end|"), (Ids{3, 6, 7, 4}));
  EXPECT_EQ(tokenizer.prefix_bytes("<|end|>ab", 1), 7);
}

TEST(AddedTokens, OneThatMustBeAWordAloneIsNotFoundExactly) {
  OrderedJson json = tiny_tokenizer_json();
  json["added_tokens"][0]["single_word"] = true;
  Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_TRUE(contains(
      expect_error<UnsupportedError>("TOK_UNSUPPORTED", [&] { tokenizer.parse_special_tokens(); })
          .message,
      "as a word alone"));
}

TEST(AddedTokens, ASpecialOneThatStaysTextIsToldOnce) {
  std::vector<std::string> told;
  set_notice_handler([&](const std::string& text) { told.push_back(text); });
  const JsonFolder folder(tiny_tokenizer_json());
  Tokenizer tokenizer = folder.open();
  tokenizer.encode("ab <tool> ab");
  EXPECT_TRUE(told.empty());
  tokenizer.encode("ab<|end|>");
  tokenizer.encode("<|end|>");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0],
            folder.folder() / "tokenizer.json" +
                ": a text holds \"<|end|>\", the text of a special token, which is read as "
                "plain text; give `parse-special-tokens` to read it as the token");
  Tokenizer parsing = JsonFolder(tiny_tokenizer_json()).open();
  parsing.parse_special_tokens();
  parsing.encode("<|end|>");
  EXPECT_EQ(told.size(), 1U);
  set_notice_handler({});
}

// As transformers: a model may have fewer rows than the tokenizer has added tokens, until a text holds one.
TEST(Vocabulary, AnAddedTokenBeyondTheRowsIsRefusedInTexts) {
  Tokenizer tokenizer = JsonFolder(tiny_tokenizer_json()).open();
  require_vocabulary(tokenizer, 7, "model");
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{3}));
  EXPECT_EQ(
      expect_error("TOK_VOCAB_MISMATCH", [&] { tokenizer.encode("ab<tool>"); }).message,
      "model: a text holds the added token \"<tool>\", whose id 7 the model has no row for: it "
      "has 7 embedding rows");
  require_vocabulary(tokenizer, 64, "model");  // rows that pad the embedding
  EXPECT_EQ(tokenizer.encode("ab<tool>"), (Ids{3, 7}));
  expect_error("TOK_VOCAB_MISMATCH", [&] { require_vocabulary(tokenizer, 5, "model"); });
}

TEST(AddedTokens, TakeWhiteSpaceWhereTheyAskForIt) {
  OrderedJson json = tiny_tokenizer_json();
  json["added_tokens"][1]["lstrip"] = true;
  json["added_tokens"][1]["rstrip"] = true;
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_EQ(tokenizer.encode("ab \n<tool>  ab"), (Ids{3, 7, 3}));
  EXPECT_EQ(tokenizer.prefix_bytes("ab \n<tool>  ab", 2), 12);
}

TEST(AddedTokens, ThoseOfTheConfigAreAdded) {
  const Tokenizer tokenizer =
      JsonFolder(tiny_tokenizer_json(), R"({"added_tokens_decoder": {"8": {"content": "bb"}}})")
          .open();
  EXPECT_EQ(tokenizer.encode("abb"), (Ids{0, 8}));
  EXPECT_EQ(tokenizer.vocab_size(), 6) << "added tokens are not counted";
}

}  // namespace
}  // namespace regroup::testing
