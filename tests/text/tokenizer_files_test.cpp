// What stands beside tokenizer.model decides the space in front, the ends of a text and the tokens that were
// added. On a tokenizer of a few pieces; transformers, where it is there, says the same.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "oracles/oracle.h"
#include "regroup/text/tokenizer.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;

constexpr int32_t kSpaceAb = 3, kAb = 4, kSpaceA = 5, kSpace = 6, kA = 7, kB = 8;
const std::vector<std::string> kPieces = {"\u2581ab", "ab", "\u2581a",
                                          "\u2581",   "a",  "b"};  // 3 to 8

/// A folder with the tokenizer and what is given of its neighbours ("": none).
class TokenizerFolder {
 public:
  explicit TokenizerFolder(const std::string& config = "", const std::string& added = "") {
    folder_.write("tokenizer.model", tiny_sentencepiece(kPieces));
    if (!config.empty()) folder_.write("tokenizer_config.json", config);
    if (!added.empty()) folder_.write("added_tokens.json", added);
  }
  Tokenizer open() const { return Tokenizer::open(folder_.path()); }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

TEST(PrefixSpace, IsPutInFrontUnlessTheConfigSaysNo) {
  for (const char* config :
       {"", "{}", R"({"add_prefix_space": true})", R"({"add_prefix_space": null})"}) {
    const Tokenizer tokenizer = TokenizerFolder(config).open();
    EXPECT_EQ(tokenizer.encode("ab a"), (Ids{1, kSpaceAb, kSpaceA})) << config;
    EXPECT_EQ(tokenizer.encode("  a"), (Ids{1, kSpace, kSpace, kSpaceA})) << config;
    EXPECT_EQ(tokenizer.decode({1, kSpaceAb, kSpaceA}), "ab a");
  }
  const Tokenizer tokenizer = TokenizerFolder(R"({"add_prefix_space": false})").open();
  EXPECT_EQ(tokenizer.encode("ab a"), (Ids{1, kAb, kSpaceA}));
  EXPECT_EQ(tokenizer.encode(" ab"), (Ids{1, kSpaceAb}));
  EXPECT_EQ(tokenizer.encode("a  a"), (Ids{1, kA, kSpace, kSpaceA}));
  EXPECT_EQ(tokenizer.decode({1, kAb, kSpaceA}), "ab a");
  EXPECT_EQ(tokenizer.decode({kSpaceAb}), " ab");
  EXPECT_EQ(tokenizer.prefix_bytes("ab a", 2), 2);
}

TEST(PrefixSpace, DecidesTheIdsSoTheDigestToo) {
  const std::string plain = TokenizerFolder().open().digest();
  EXPECT_EQ(TokenizerFolder(R"({"add_prefix_space": true, "legacy": true})").open().digest(),
            plain);
  EXPECT_NE(TokenizerFolder(R"({"add_prefix_space": false})").open().digest(), plain);
}

const char* const kChatConfig = R"({"eos_token": "<|end|>", "bos_token": {"content": "<s>"},
  "added_tokens_decoder": {"2": {"content": "</s>", "special": true},
                           "10": {"content": "<|end|>", "special": true},
                           "11": {"content": " plain", "special": false}, "x": {}, "12": 3}})";

TEST(AddedTokens, AreTextAndPaddingIsNone) {
  for (const TokenizerFolder& folder :
       {TokenizerFolder(kChatConfig),
        TokenizerFolder("", R"({"<|end|>": 10, " plain": 11, "x": -1, "y": "z"})")}) {
    const Tokenizer tokenizer = folder.open();
    EXPECT_EQ(tokenizer.vocab_size(), 9);
    EXPECT_EQ(tokenizer.decode({10}), "<|end|>");
    EXPECT_EQ(tokenizer.decode({kSpaceA, 11, kSpaceAb, kB}), "a plain abb")
        << "behind it a space stays";
    EXPECT_EQ(tokenizer.decode({10, 10, kA}), "<|end|><|end|>a");
    EXPECT_EQ(tokenizer.decode({9, 12, 1'000'000}), "") << "rows that only pad";
    EXPECT_EQ(tokenizer.decode({kSpaceA, 9, kSpaceA}), "a a");
    EXPECT_EQ(tokenizer.decode({1, kSpaceA, 2}), "a") << "BOS and EOS are no text";
    expect_error("TOK_ID_RANGE", [&] { tokenizer.decode({-1}); });
  }
}

TEST(AddedTokens, InsideATextStayText) {
  const Tokenizer tokenizer =
      TokenizerFolder(R"({"added_tokens_decoder": {"10": {"content": "ab"}}})").open();
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{1, kSpaceAb}));
}

TEST(Ends, AreTheTokensThatTheConfigNames) {
  const Tokenizer chat = TokenizerFolder(kChatConfig).open();
  EXPECT_EQ(chat.encode("ab", true, true), (Ids{1, kSpaceAb, 10}));
  const Tokenizer none =
      TokenizerFolder(R"({"bos_token": null, "eos_token": null, "add_eos_token": true})").open();
  EXPECT_EQ(none.bos_id(), -1);
  EXPECT_EQ(none.encode("ab"), Ids{kSpaceAb});
  EXPECT_EQ(none.prefix_bytes("ab", 1), 2);
  const Tokenizer unsaid = TokenizerFolder(R"({"bos_token": "", "eos_token": ""})").open();
  EXPECT_EQ(unsaid.encode("ab", true, true), (Ids{1, kSpaceAb, 2}));
  const Tokenizer other =
      TokenizerFolder(R"({"bos_token": "</s>", "eos_token": "nobody knows it"})").open();
  EXPECT_EQ(other.encode("ab", true, true), (Ids{2, kSpaceAb, 2}));
}

TEST(Ends, MustHaveARow) {
  Tokenizer tokenizer = TokenizerFolder(kChatConfig).open();
  EXPECT_NO_THROW(require_vocabulary(tokenizer, 9, "x")) << "EOS is not put anywhere";
  EXPECT_NO_THROW(require_vocabulary(tokenizer, 11, "x", /*with_eos=*/true));
  EXPECT_TRUE(
      contains(expect_error("TOK_VOCAB_MISMATCH",
                            [&] { require_vocabulary(tokenizer, 10, "x", /*with_eos=*/true); })
                   .message,
               "begins or ends texts with the id 10, the model has only 10 embedding rows"));
}

/// Words of the tokenizer, more than 2 MiB of them, and the ids of "ab a" again and again.
std::pair<std::string, Ids> long_text() {
  std::string text = "ab a";
  Ids ids = {kSpaceAb, kSpaceA};
  while (text.size() < (5 << 19)) {
    text += " ab a";
    ids.insert(ids.end(), {kSpaceAb, kSpaceA});
  }
  return {text, ids};
}

TEST(LongTexts, GiveTheSameIdsInSegments) {
  auto [text, ids] = long_text();
  const Tokenizer tokenizer = TokenizerFolder().open();
  EXPECT_TRUE(tokenizer.encode(text, false, false) == ids);
  const std::vector<int32_t> front = tokenizer.encode_front(text, 100);
  EXPECT_LT(front.size(), ids.size()) << "not all of it is encoded";
  EXPECT_TRUE(std::equal(front.begin() + 1, front.end(), ids.begin()));
  for (const size_t words :
       {1, 2, 300'000, 838'862, 838'863, 1'000'000}) {  // a segment ends between the two
    const size_t pair = words / 2 * 5;
    const size_t expected = words % 2 == 1 ? pair + 2 : pair - 1;
    EXPECT_EQ(tokenizer.prefix_bytes(text, words + 1), static_cast<int64_t>(expected)) << words;
  }
  const Tokenizer without =
      TokenizerFolder(R"({"add_prefix_space": false, "add_eos_token": true})").open();
  ids.front() = kAb;
  ids.insert(ids.begin(), 1);
  ids.push_back(2);
  EXPECT_TRUE(without.encode(text) == ids);
}

TEST(LongTexts, StayWholeWherePiecesReachAcrossSpaces) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", tiny_sentencepiece({"\u2581a\u2581a", "\u2581a", "\u2581", "a"}));
  const Tokenizer tokenizer = Tokenizer::open(folder.path());
  std::string text = "a a";
  while (text.size() < (3 << 19)) text += " a a";
  EXPECT_TRUE(tokenizer.encode(text, false, false) == Ids((text.size() + 1) / 4, 3));
}

TEST(OtherKinds, AreNamed) {
  const TemporaryFolder folder;
  const std::string path = folder.write("tokenizer.model", "IQ== 0\nIg== 1\n");
  EXPECT_TRUE(contains(
      expect_error<UnsupportedError>("TOK_UNSUPPORTED", [&] { Tokenizer::open(folder.path()); })
          .message,
      path +
          ": only tokenizer.json and SentencePiece's tokenizer.model are read, found a vocabulary "
          "of tiktoken"));
  folder.write("tokenizer.model",
               "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 499723\n");
  const ErrorInfo pointer = expect_error("TOK_PROTO", [&] { Tokenizer::open(folder.path()); });
  EXPECT_TRUE(contains(pointer.message, "this is a Git LFS pointer"));
  EXPECT_TRUE(contains(pointer.hint, "git lfs pull"));
  folder.write("tokenizer.model", "<!DOCTYPE html><html>Sign in</html>");
  EXPECT_TRUE(contains(expect_error("TOK_PROTO", [&] { Tokenizer::open(folder.path()); }).message,
                       "an HTML page"));
  const TokenizerFolder pointers("version https://git-lfs.github.com/spec/v1\n");
  EXPECT_TRUE(contains(expect_error("JSON_SYNTAX", [&] { pointers.open(); }).message,
                       "tokenizer_config.json: must be JSON, but this is a Git LFS pointer"));
}

// transformers 5.23 builds its tokenizer from the same file. Texts without a space in front: what it does
// with one differs from SentencePiece itself. It begins texts with BOS only where the file asks for it.
TEST(TokenizerFiles, TransformersReadsThemTheSame) {
  REGROUP_REQUIRE_ORACLE();
  const std::vector<std::string> texts = {"ab", "ab a", "a  ab", "b", "aab ab b", ""};
  const std::vector<Ids> ids = {{10}, {kSpaceA, 11, kSpaceAb}, {10, 11, kA}, {kSpaceAb, kSpaceA}};
  const std::string bos = R"(, "add_bos_token": true)";
  for (const std::string& keys :
       {bos, bos + R"(, "add_prefix_space": false)", bos + R"(, "legacy": true)",
        bos + R"(, "legacy": false)", bos + R"(, "add_eos_token": true)",
        std::string(R"(, "add_bos_token": false)"), bos + R"(, "bos_token": null)",
        bos + R"(, "add_prefix_space": false, "add_eos_token": true, "eos_token": "<|end|>")"}) {
    SCOPED_TRACE(keys);
    const TokenizerFolder folder(
        R"({"tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "added_tokens_decoder": {
        "0": {"content": "<unk>", "special": true}, "1": {"content": "<s>", "special": true},
        "2": {"content": "</s>", "special": true}, "9": {"content": "<nine>", "special": false},
        "10": {"content": "<|end|>", "special": true}, "11": {"content": "plain", "special": false}})" +
        keys + "}");
    const auto theirs =
        ask_oracle("tokenizer.py", folder.folder(),
                   {{"folder", folder.folder().path()}, {"texts", texts}, {"ids", ids}});
    ASSERT_FALSE(theirs.is_null());
    const Tokenizer tokenizer = folder.open();
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(tokenizer.encode(texts[i]), theirs["encoded"][i].get<Ids>()) << texts[i];
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(tokenizer.decode(ids[i]), theirs["decoded"][i].get<std::string>()) << i;
    }
  }
}

}  // namespace
}  // namespace regroup::testing
