// tokenizer.json on tokenizers of a few tokens, worked out by hand. tokenizer_json_oracle_test compares with the
// tokenizers package.
#include <gtest/gtest.h>

#include "regroup/base/notice.h"
#include "regroup/text/tokenizer.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer.h"
#include "support/tiny_tokenizer_json.h"
#include "text/json_folder.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;

TEST(ByteLevel, ByHand) {
  const Tokenizer tokenizer = JsonFolder(tiny_tokenizer_json()).open();
  EXPECT_EQ(tokenizer.encode("ab ab"), (Ids{3, 4}));
  EXPECT_EQ(tokenizer.encode("ba"), (Ids{1, 0}));
  EXPECT_EQ(tokenizer.encode("a b"), (Ids{0, 2, 1}));
  EXPECT_EQ(tokenizer.encode("ab\n\nab"), (Ids{3, 5, 5, 3}));
  EXPECT_EQ(tokenizer.encode("  ab"), (Ids{2, 4})) << "a space stays before the one of the word";
  EXPECT_EQ(tokenizer.encode("cab"), (Ids{3})) << "without unk_token what is unknown is left out";
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.vocab_size(), 6);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.bos_id(), -1);
}

TEST(ByteLevel, DecodesBytesAcrossTokens) {
  OrderedJson json = tiny_tokenizer_json();
  json["model"]["vocab"]["\u00c3"] = 8;  // the symbol of the byte C3
  json["model"]["vocab"]["\u00a9"] = 9;  // of A9: together they are é
  json["added_tokens"].clear();
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_EQ(tokenizer.encode("é"), (Ids{8, 9}));
  EXPECT_EQ(tokenizer.decode({8, 9}), "é");
  EXPECT_EQ(tokenizer.decode({8}), "\uFFFD");
  EXPECT_EQ(tokenizer.decode({9, 8, 0}),
            "\uFFFD\uFFFD"
            "a");
  EXPECT_EQ(tokenizer.decode({6, 100, 3}), "ab") << "holes and padding are no text";
  expect_error("TOK_ID_RANGE", [&] { tokenizer.decode({-1}); });
}

struct EndRule {
  OrderedJson post_processor;
  const char* config;
  Ids expected;  ///< of "ab"
};

TEST(Ends, AreThePostProcessorsUnlessTheConfigNamesThem) {
  const OrderedJson front = front_template("<|end|>", 6);
  const OrderedJson around = {
      {"type", "RobertaProcessing"}, {"sep", {"<tool>", 7}}, {"cls", {"<|end|>", 6}}};
  const EndRule rules[] = {
      {nullptr, "", {3}},
      {nullptr, R"({"bos_token": "<|end|>"})", {3}},
      {nullptr, R"({"bos_token": "<|end|>", "add_bos_token": true})", {6, 3}},
      {front, "", {6, 3}},
      {front, R"({"bos_token": "<tool>"})", {6, 3}},
      {front, R"({"bos_token": "<|end|>", "add_bos_token": false})", {3}},
      {front, R"({"eos_token": "<tool>", "add_eos_token": true})", {3, 7}},
      {{{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, front}}}, "", {6, 3}},
      {around, "", {6, 3, 7}},
  };
  for (const EndRule& rule : rules) {
    SCOPED_TRACE(rule.post_processor.dump() + rule.config);
    OrderedJson json = tiny_tokenizer_json();
    json["post_processor"] = rule.post_processor;
    EXPECT_EQ(JsonFolder(json, rule.config).open().encode("ab"), rule.expected);
  }
}

// "▁ab▁c": c and the emoji fall back to their bytes.
TEST(ByteFallback, ByHand) {
  OrderedJson json = tiny_tokenizer_json();
  json["added_tokens"].clear();
  json["normalizer"] = OrderedJson::parse(R"({"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]})");
  json["pre_tokenizer"] = nullptr;
  json["decoder"] = OrderedJson::parse(R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  json["model"]["vocab"] = OrderedJson::parse(
      R"({"<unk>": 0, "\u2581": 1, "a": 2, "b": 3, "ab": 4, "\u2581ab": 5, "\u2581\u2581": 6, "<0x63>": 7,
          "<0xF0>": 8, "<0x9F>": 9, "<0x99>": 10, "<0x82>": 11})");
  json["model"]["merges"] = OrderedJson::parse(R"(["a b", "\u2581 ab", "\u2581 \u2581"])");
  json["model"]["byte_fallback"] = true;
  json["model"]["unk_token"] = "<unk>";
  json["model"]["fuse_unk"] = true;
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_EQ(tokenizer.encode("ab c"), (Ids{5, 1, 7}));
  EXPECT_EQ(tokenizer.encode("ab  ab"), (Ids{5, 1, 5}));
  EXPECT_EQ(tokenizer.encode("🙂"), (Ids{1, 8, 9, 10, 11}));
  EXPECT_EQ(tokenizer.encode("xyab"), (Ids{1, 0, 4}))
      << "unknown characters are one token together";
  EXPECT_EQ(tokenizer.decode({5, 1, 7}), "ab c");
  EXPECT_EQ(tokenizer.decode({1, 8, 9, 10, 11}), "🙂");
  EXPECT_EQ(tokenizer.decode({1, 8, 9}), "\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer.prefix_bytes("ab c", 1), 2);
  EXPECT_EQ(tokenizer.prefix_bytes("ab c", 2), 3);
  EXPECT_EQ(tokenizer.prefix_bytes("ab c", 3), 4);
}

// Scores: "ab" -2 beats "a" + "b" = -3; "abb": "ab" + "b" = -3.5 beats "a" + "bb" = -4.
TEST(Unigram, TakesTheBestWayToCut) {
  const OrderedJson json = OrderedJson::parse(R"({
    "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": true},
    "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": true},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["\u2581", -1], ["a", -1.5], ["b", -1.5],
      ["ab", -2], ["bb", -2.5], ["\u2581a", -9],
      ["c", -12.5], ["ca", -10.25]]}})");
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_EQ(tokenizer.encode("ab abb"), (Ids{1, 4, 1, 4, 3}));
  EXPECT_EQ(tokenizer.encode("xyb"), (Ids{1, 0, 3}));
  EXPECT_EQ(tokenizer.encode("ca"), (Ids{1, 8})) << "-10.25 beats -14";
  EXPECT_EQ(tokenizer.decode({1, 4, 1, 4, 3}), "ab abb");
  EXPECT_EQ(tokenizer.prefix_bytes("ab abb", 2), 2);
  EXPECT_EQ(tokenizer.prefix_bytes("ab abb", 3), 3);
  EXPECT_EQ(tokenizer.prefix_bytes("ab abb", 4), 5);
}

TEST(PrefixBytes, GrowFromNothingToTheText) {
  OrderedJson json = tiny_tokenizer_json();
  json["normalizer"] = {{"type", "NFC"}};
  json["post_processor"] = front_template("<|end|>", 6);
  const Tokenizer tokenizer = JsonFolder(json).open();
  for (const std::string text : {"ab ab\nab", "<tool> ab", "e\u0301ab ab", "ab"}) {
    SCOPED_TRACE(text);
    const Ids ids = tokenizer.encode(text);
    EXPECT_EQ(tokenizer.prefix_bytes(text, 1), 0) << "BOS stands for nothing";
    int64_t before = 0;
    for (size_t n = 1; n <= ids.size(); ++n) {
      EXPECT_GE(tokenizer.prefix_bytes(text, n), before);
      before = tokenizer.prefix_bytes(text, n);
    }
    EXPECT_EQ(before, static_cast<int64_t>(text.size()));
  }
  // é, two characters of 3 bytes together, is left out by the model.
  EXPECT_EQ(tokenizer.prefix_bytes("e\u0301ab ab", 2), 5);
}

// Quadratic, each of the first two would take longer than the time limit of this file.
TEST(LongWords, TakeNoQuadraticTime) {
  OrderedJson json = tiny_tokenizer_json();
  json["model"]["vocab"]["aa"] = 8;
  json["model"]["vocab"]["aaaa"] = 9;
  json["model"]["merges"].push_back({"a", "a"});
  json["model"]["merges"].push_back({"aa", "aa"});
  json["added_tokens"].clear();
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_TRUE(tokenizer.encode(std::string(1 << 20, 'a')) == Ids(1 << 18, 9));
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, ' ')).size(), size_t{1} << 20);
  std::string words = "ab";
  for (int i = 0; i < 1000; ++i) words += " ab";
  EXPECT_LT(tokenizer.encode_front(words, 2).size(), 10U);
}

struct BadPart {
  const char* pointer;  ///< what is replaced
  const char* value;
  const char* code;
  const char* says;
  bool unsupported = false;
};

TEST(Normalizers, LoseCaseAndAccents) {
  OrderedJson json = tiny_tokenizer_json();
  json["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers", {{{"type", "NFD"}}, {{"type", "Lowercase"}}, {{"type", "StripAccents"}}}}};
  const Tokenizer tokenizer = JsonFolder(json).open();
  const Ids plain = tokenizer.encode("ab ab");
  EXPECT_EQ(tokenizer.encode("\u00C1B a\u0301\u0323B"), plain);
  EXPECT_EQ(tokenizer.prefix_bytes("\u00C1B a\u0301\u0323B", plain.size()), 10);
}

TEST(BadParts, AreNamed) {
  const BadPart parts[] = {
      {"/model/type", R"("WordPiece")", "TOK_UNSUPPORTED", "found WordPiece", true},
      {"/normalizer", R"({"type": "Nmt"})", "TOK_UNSUPPORTED", "the normalizer Nmt", true},
      {"/pre_tokenizer", R"({"type": "BertPreTokenizer"})", "TOK_UNSUPPORTED",
       "the pre_tokenizer BertPreTokenizer", true},
      {"/decoder", R"({"type": "CTC"})", "TOK_UNSUPPORTED", "the decoder CTC", true},
      {"/post_processor", R"({"type": "Other"})", "TOK_UNSUPPORTED", "the post_processor Other",
       true},
      {"/model/dropout", "0.1", "TOK_UNSUPPORTED", "dropout 0.1", true},
      {"/added_tokens/1/single_word", "true", "TOK_UNSUPPORTED", "single_word", true},
      {"/pre_tokenizer", R"([])", "TOK_PART", "each part of \"pre_tokenizer\""},
      {"/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})", "TOK_PART",
       "\"start\""},
      {"/model/vocab/a", "-1", "TOK_ID_RANGE", "found -1 for \"a\""},
      {"/model/vocab/a", "2147483648", "TOK_ID_RANGE", "found 2147483648"},
      {"/model/vocab/a", "1.5", "TOK_ID_RANGE", "found 1.5"},
      {"/model/vocab/a", "\"0\"", "TOK_ID_RANGE", "for \"a\""},
      {"/model/vocab/a", "1", "TOK_DUPLICATE", "for id 1"},
      {"/model/vocab", "{}", "TOK_EMPTY", "must not be empty"},
      {"/model/merges/0", R"("a b c")", "TOK_MERGE", "a b c"},
      {"/model/merges/0", R"(["a"])", "TOK_MERGE", "two tokens"},
      {"/model/merges/0", R"(["a", "x"])", "TOK_MERGE", "merge 0 must join two tokens"},
      {"/added_tokens/1/id", "3", "TOK_ADDED", "the id 7, found 3"},
      {"/added_tokens/1/content", "\"\"", "TOK_ADDED", "must have a text"},
      {"/normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AAAA"})", "TOK_CHARSMAP",
       "base64"},
  };
  for (const BadPart& part : parts) {
    SCOPED_TRACE(std::string(part.pointer) + " " + part.value);
    OrderedJson json = tiny_tokenizer_json();
    json[OrderedJson::json_pointer(part.pointer)] = OrderedJson::parse(part.value);
    const JsonFolder folder(json);
    const ErrorInfo error = part.unsupported
                                ? expect_error<UnsupportedError>(part.code, [&] { folder.open(); })
                                : expect_error(part.code, [&] { folder.open(); });
    EXPECT_TRUE(contains(error.message, part.says));
    EXPECT_TRUE(contains(error.message, folder.folder() / "tokenizer.json"));
    EXPECT_FALSE(error.hint.empty());
  }
}

TEST(Expansion, IsRefused) {
  OrderedJson json = tiny_tokenizer_json();
  json["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1000, 'a')}};
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_NO_THROW(tokenizer.encode("aaa"));
  expect_error("TOK_EXPANSION", [&] { tokenizer.encode(std::string(5000, 'a')); });
}

/// The tiny tokenizer, which removes what matches a pattern.
OrderedJson removing(const std::string& pattern) {
  OrderedJson json = tiny_tokenizer_json();
  json["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", pattern}}},
         {"behavior", "Removed"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  return json;
}

TEST(Patterns, MeanWhatTheyMeanInRuby) {
  EXPECT_EQ(JsonFolder(removing("a{1,2}+")).open().encode("aaaaab"), Ids{1})
      << "the interval is repeated";
  EXPECT_EQ(JsonFolder(removing("^b")).open().encode("ba\nba"), (Ids{0, 5, 0}))
      << "^ stands at each line";
  EXPECT_EQ(JsonFolder(removing("(?i:'S)|\\s")).open().encode("a's b'\u017F"), (Ids{0, 1}))
      << "long s";
  EXPECT_EQ(JsonFolder(removing("\\w")).open().encode("a\u00B2 \u24B6b"), Ids{2})
      << "a number of Latin-1 and a letter in a circle are words";
  EXPECT_EQ(JsonFolder(removing("[^\\S\\n]")).open().encode("a \nb"), (Ids{0, 5, 1}));
}

TEST(Patterns, ThatCannotBeTranslatedAreRefused) {
  for (const char* pattern :
       {"(a+)+",   "(.*)*",   "(a)\\1",      "(?<=a)b",    "(?<!a)b", "[\\W]", "\\bab",
        "[a[bc]]", "[a&&b]",  "[[:alpha:]]", "\\p{Greek}", "\\p{^L}", "a{,3}", "a{2}?",
        "(?<n>a)", "(?x: a)", "(?i:ss)",     "a**",        "(a",      "a)",    "[a",
        "[z-a]",   "*a",      "\\",          "a|(b+|c)*"}) {
    SCOPED_TRACE(pattern);
    const JsonFolder folder(removing(pattern));
    const ErrorInfo error =
        expect_error<UnsupportedError>("TOK_REGEX_UNSUPPORTED", [&] { folder.open(); });
    EXPECT_TRUE(contains(error.message, "tokenizer.json: the regular expression"));
  }
}

TEST(Patterns, ThatTakeTooLongEndWithAnError) {
  // Each of the optional parts may take each character: 2^30 ways before it fails.
  std::string pattern;
  for (int i = 0; i < 30; ++i) pattern += "(?:a|a?a)";
  const Tokenizer tokenizer = JsonFolder(removing(pattern + "c")).open();
  const ErrorInfo error =
      expect_error("LIMIT_REGEX", [&] { tokenizer.encode(std::string(60, 'a') + "bc"); });
  EXPECT_TRUE(contains(error.message, "at byte 0 of \"aaa"));
}

TEST(TwoFiles, TheJsonIsUsedAndSaidSoWhereTheyDiffer) {
  std::vector<std::string> told;
  set_notice_handler([&](const std::string& text) { told.push_back(text); });
  const JsonFolder both(tiny_tokenizer_json());
  both.folder().write("tokenizer.model",
                      tiny_sentencepiece({"\u2581ab", "ab", "\u2581", "a", "b"}));
  EXPECT_EQ(both.open().encode("ab ab"), (Ids{3, 4}));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(contains(told[0], "tokenizer.json is used and not tokenizer.model"));
  // One that cannot be carried out leaves the other.
  OrderedJson json = tiny_tokenizer_json();
  json["normalizer"] = {{"type", "Nmt"}};
  const JsonFolder other(json);
  other.folder().write("tokenizer.model",
                       tiny_sentencepiece({"\u2581ab", "ab", "\u2581", "a", "b"}));
  EXPECT_EQ(other.open().encode("ab"), (Ids{1, 3}));
  ASSERT_EQ(told.size(), 2U);
  EXPECT_TRUE(contains(told[1], "tokenizer.model is used, since"));
  EXPECT_TRUE(contains(told[1], "Nmt"));
  set_notice_handler({});
}

TEST(Gpt2Files, AreATokenizerToo) {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "\u0120": 2, "ab": 3, "<|endoftext|>": 4})");
  folder.write("merges.txt", "#version: 0.2\na b\n");
  folder.write("tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
  const Tokenizer tokenizer = Tokenizer::open(folder.path());
  EXPECT_EQ(tokenizer.encode("ab ab"), (Ids{3, 2, 3}));
  EXPECT_EQ(tokenizer.eos_id(), 4);
  EXPECT_TRUE(Tokenizer::is_in(folder.path()));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "CLIPTokenizer"})");
  expect_error<UnsupportedError>("TOK_UNSUPPORTED", [&] { Tokenizer::open(folder.path()); });
}

TEST(InvalidText, CountsAsReplacementCharacters) {
  OrderedJson json = tiny_tokenizer_json();
  json["model"]["vocab"]["\u00ef"] = 8;  // EF, the first byte of U+FFFD
  json["added_tokens"].clear();
  const Tokenizer tokenizer = JsonFolder(json).open();
  EXPECT_EQ(tokenizer.encode("a\xFF"
                             "b"),
            (Ids{0, 8, 1}));
}

}  // namespace
}  // namespace regroup::testing
