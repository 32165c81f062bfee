// What else may be wrong with a tokenizer.json: TK01 to TK26 of the reference's list.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/bounded.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"
#include "text/json_folder.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;
using Ids = std::vector<int32_t>;

constexpr int64_t kMebibyte = 1 << 20;

struct BadPart {
  const char* id;
  const char* pointer;  ///< what is replaced in the tiny tokenizer.json
  std::string value;
  const char* code;
  const char* says;
};

/// The tiny tokenizer.json with one part replaced.
OrderedJson with_part(const char* pointer, const std::string& value) {
  OrderedJson json = tiny_tokenizer_json();
  json[OrderedJson::json_pointer(pointer)] = OrderedJson::parse(value);
  if (json["model"].value("type", "") == "Unigram") json["pre_tokenizer"] = nullptr;
  return json;
}

void expect_refused(const BadPart& part) {
  SCOPED_TRACE(part.id);
  const JsonFolder folder(with_part(part.pointer, part.value));
  const ErrorInfo error = expect_error(part.code, [&] { folder.open(); });
  EXPECT_TRUE(contains(error.message, part.says));
  EXPECT_TRUE(error.message.starts_with(folder.folder() / "tokenizer.json: ")) << error.message;
  EXPECT_LT(error.message.size(), 1000U);
  EXPECT_FALSE(error.hint.empty());
}

/// A trie of 256 units, in which "a" leads to `next`, and one replacement, in base64.
std::string charsmap(uint32_t root, uint32_t next) {
  std::string bytes("\0\4\0\0", 4);
  const auto add = [&](uint32_t unit) {
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(unit >> shift & 0xFF);
  };
  for (uint32_t at = 0; at < 256; ++at) add(at == 0 ? root : at == 'a' ? next : 0);
  bytes += "x\0"s;
  constexpr const char* kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (bytes.size() % 3 != 0) bytes += '\0';
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | static_cast<unsigned char>(bytes[i + j]);
    for (int shift = 18; shift >= 0; shift -= 6) text += kLetters[bits >> shift & 63];
  }
  return text;
}
std::string precompiled(const std::string& base64) {
  return R"({"type": "Precompiled", "precompiled_charsmap": ")" + base64 + "\"}";
}

TEST(MalformedTokenizer, PartsAreNamed) {
  const std::string unigram = R"({"type": "Unigram", "unk_id": 0, "vocab": )";
  const BadPart parts[] = {
      {"TK03 2^32", "/model/vocab/a", "4294967296", "TOK_ID_RANGE", "found 4294967296 for \"a\""},
      {"TK03 2^24", "/model/vocab/a", "16777216", "TOK_ID_RANGE", "0..16777215, found 16777216"},
      {"TK04 text", "/model", unigram + R"([["a", 0], ["b", -1], ["a", -2]]})", "TOK_DUPLICATE",
       "found \"a\" and \"a\" for id 2"},
      {"TK07 joined", "/model/merges/0", R"(["b", "a"])", "TOK_MERGE",
       "merge 0 must join two tokens to a third of the vocabulary, found \"b\" and \"a\""},
      {"TK08", "/model/merges/1", "[\"" + std::string(kMebibyte, 'a') + "\", \"b\"]", "TOK_MERGE",
       "merge 1 must join two tokens"},
      {"TK10 one word", "/model/merges/0", R"("a")", "TOK_MERGE",
       "must be two tokens, found \"a\""},
      {"TK10 three", "/model/merges/0", R"(["a", "b", "c"])", "TOK_MERGE", "must be two tokens"},
      {"TK10 numbers", "/model/merges/0", "[0, 1]", "TOK_MERGE", "found [0,1]"},
      {"TK10 no list", "/model/merges", "{}", "TOK_PART", "\"merges\" of the model must be a list"},
      {"TK12", "/model/vocab", "{\"" + std::string(4 * kMebibyte, 'a') + "\": 0}",
       "TOK_TOKEN_LENGTH", "at most 65536 bytes, found 4194304 for id 0"},
      {"TK12 added", "/added_tokens/1/content", "\"" + std::string(4 * kMebibyte, '<') + "\"",
       "TOK_TOKEN_LENGTH", "at most 65536 bytes, found 4194304 for id 7"},
      {"TK15 no list", "/added_tokens", R"({"<s>": 6})", "TOK_ADDED", "must be a list"},
      {"TK15 no object", "/added_tokens/0", R"("<s>")", "TOK_ADDED", "must be an object"},
      {"TK15 negative", "/added_tokens/0/id", "-1", "CFG_RANGE", "\"id\" must be an integer"},
      {"TK15 no id", "/added_tokens/0/id", "null", "TOK_ADDED", "must have an id"},
      {"TK15 a hole", "/added_tokens/0/id", "9", "TOK_ADDED", "and the id 6, found 9"},
      {"TK16 shorter", "/model", unigram + R"([["a"]]})", "TOK_SCORES",
       "must be a token and its score, found [\"a\"]"},
      {"TK16 a word", "/model", unigram + R"([["a", "NaN"]]})", "TOK_SCORES",
       "found [\"a\",\"NaN\"]"},
      {"TK16 three", "/model", unigram + R"([["a", 0, 255]]})", "TOK_SCORES",
       "found [\"a\",0,255]"},
      {"TK17 letters", "/normalizer", precompiled("AAA!"), "TOK_CHARSMAP", "base64"},
      {"TK17 length", "/normalizer", precompiled("AAAAA"), "TOK_CHARSMAP", "base64"},
      {"TK17 size", "/normalizer", precompiled("/////wAAAAA="), "TOK_CHARSMAP", "base64"},
      {"TK17 type", "/normalizer", R"({"type": "Precompiled", "precompiled_charsmap": [1]})",
       "TOK_PART", "must be a string, found [1]"},
      {"TK22 unk_id", "/model", R"({"type": "Unigram", "unk_id": 1, "vocab": [["a", 0]]})",
       "TOK_UNK", "\"unk_id\" must be below 1, found 1"},
      {"TK23 Unigram", "/model", unigram + "[]}", "TOK_EMPTY", "must not be empty"},
      {"TK23 null", "/model/vocab", "null", "TOK_PART", "must be an object of tokens and ids"},
  };
  for (const BadPart& part : parts) expect_refused(part);
}

// TK09: what follows a prefix is put together without it.
TEST(MalformedTokenizer, AMergeShorterThanItsPrefixIsRefused) {
  OrderedJson json = tiny_tokenizer_json();
  json["model"]["continuing_subword_prefix"] = "##";
  json["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"##b", 2}, {"ab", 3}, {"#", 4}};
  json["added_tokens"].clear();
  json["model"]["merges"] = OrderedJson::parse(R"(["a ##b"])");
  EXPECT_NO_THROW(JsonFolder(json).open());
  json["model"]["merges"] = OrderedJson::parse(R"(["a #"])");
  EXPECT_TRUE(contains(expect_error("TOK_MERGE", [&] { JsonFolder(json).open(); }).message,
                       "found \"a\" and \"#\""));
}

/// A folder whose tokenizer.json is this text.
class TextFolder {
 public:
  explicit TextFolder(const std::string& text) { folder_.write("tokenizer.json", text); }
  void open() const { Tokenizer::open(folder_.path()); }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

TEST(MalformedTokenizer, FilesThatAreNoObjectOfJson) {
  std::string deep = R"({"normalizer": )";
  for (int i = 0; i < 10'000; ++i) deep += R"({"type": "Sequence", "normalizers": [)";
  const std::pair<const char*, std::string> cases[] = {
      {"JSON_SYNTAX", ""},                         // TK01
      {"JSON_SYNTAX", "tokenizer"},                // TK01
      {"JSON_SYNTAX", "{\"model\": {\"type\": "},  // TK01
      {"TOK_PART", "[]"},
      {"TOK_PART", "null"},
      {"TOK_PART", R"({"model": []})"},
      {"JSON_UTF8", "{\"model\": \"\xFF\"}"},
      {"JSON_SYNTAX", R"({"model": {"type": "BPE", "vocab": {"a": NaN}}})"},
      {"JSON_DUPLICATE_KEY", R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}}})"},  // TK04
      {"JSON_DEPTH", deep},                                                                // TK21
  };
  for (const auto& [code, text] : cases) {
    SCOPED_TRACE(text.substr(0, 60));
    const TextFolder folder(text);
    const ErrorInfo error = expect_error(code, [&] { folder.open(); });
    EXPECT_TRUE(contains(error.message, folder.folder() / "tokenizer.json"));
  }
}

// TK05, TK11, TK15: what a file may ask for is bounded, whatever its numbers say.
TEST(MalformedTokenizer, SizesAreBounded) {
  const TextFolder large("");
  std::filesystem::resize_file(large.folder() / "tokenizer.json", 1'000'000'000);
  expect_bounded("LIMIT_FILE_SIZE", 64 * kMebibyte, 5, [&] { large.open(); });

  std::string merges = R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [)";
  const size_t front = merges.size();
  for (int i = 0; i < 4'000'001; ++i) merges += "0,";
  merges.back() = ']';
  const TextFolder many(merges + "}}");
  const auto bytes = static_cast<int64_t>(merges.size() - front);
  expect_bounded("LIMIT_MERGES", 64 * kMebibyte + 20 * bytes, 5, [&] { many.open(); });

  std::string added =
      R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [)";
  for (int i = 1; i <= 100'001; ++i) added += fmt::format(R"({{"id":{},"content":"<{}>"}},)", i, i);
  added.back() = ']';
  const TextFolder tokens(added + "}");
  expect_bounded("LIMIT_ADDED_TOKENS", 128 * kMebibyte, 5, [&] { tokens.open(); });

  // Ids may have holes, up to 2^24: 8 bytes each.
  OrderedJson json = with_part("/model/vocab", R"({"a": 0, "b": 16777215, "ab": 1})");
  json["model"]["merges"] = OrderedJson::parse(R"(["a b"])");
  json["added_tokens"].clear();
  const JsonFolder sparse(json);
  expect_bounded("OK", 160 * kMebibyte, 5, [&] { sparse.open(); });
  EXPECT_EQ(sparse.open().decode({1, 2, 16'777'215, 16'777'216}), "abb") << "a hole is no text";
}

// TK21: added tokens are normalized before they are looked for, and so are the texts between them.
TEST(MalformedTokenizer, GrowthOfManyPartsIsBounded) {
  OrderedJson json = tiny_tokenizer_json();
  json["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(60'000, 'a')}};
  json["added_tokens"].clear();
  for (int i = 0; i < 200; ++i) {
    json["added_tokens"].push_back({{"id", 6 + i}, {"content", fmt::format("<{}>a", i)}});
  }
  const JsonFolder tokens(json);
  expect_bounded("LIMIT_ADDED_TOKENS", 128 * kMebibyte, 5, [&] { tokens.open(); });
  EXPECT_TRUE(contains(expect_error("LIMIT_ADDED_TOKENS", [&] { tokens.open(); }).message,
                       "at most 4194304 bytes together"));

  json["normalizer"]["content"] = std::string(1'000'000, 'b');
  json["added_tokens"] = {{{"id", 6}, {"content", "."}, {"normalized", false}}};
  const JsonFolder parts(json);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "a.";  // each part alone stays below the limit
  expect_bounded("TOK_EXPANSION", 128 * kMebibyte, 5, [&] { parts.open().encode(text); });
  EXPECT_NO_THROW(parts.open().encode("a"));
}

// TK17: a trie that leads out of itself is followed as far as it goes, and what is not found stays.
TEST(MalformedTokenizer, AWildCharsmapReplacesNothing) {
  constexpr uint32_t kLeaf = 1 << 8;
  for (const auto& [root, next] :
       {std::pair<uint32_t, uint32_t>{0x7FFFFC00, 0},  // beyond all units
        {0xFFFFFFFF, 0xFFFFFFFF},                      // a value that leads on
        {0, 'a' | kLeaf | 0x7FFFF000}}) {              // whose value is beyond
    const JsonFolder folder(with_part("/normalizer", precompiled(charsmap(root, next))));
    EXPECT_EQ(folder.open().encode("ab ab"), (Ids{3, 4})) << root << " " << next;
  }
}

// TK13: what only looks like the token of a byte is a text like any other.
TEST(MalformedTokenizer, ByteTokensAreSpelledExactly) {
  OrderedJson json = tiny_tokenizer_json();
  json["added_tokens"].clear();
  json["pre_tokenizer"] = nullptr;
  json["decoder"] = {{"type", "ByteFallback"}};
  json["model"] = OrderedJson::parse(R"({"type": "BPE", "byte_fallback": true, "merges": [],
      "unk_token": "?", "vocab": {"?": 0, "<0x-1>": 1, "<0xZZ>": 2, "<0x1>": 3, "<0x100>": 4,
      "<0x+1>": 5, "<0x61>": 6, "<0xc3>": 7}})");
  const Tokenizer tokenizer = JsonFolder(json).open();
  for (const char* text : {"<0x-1>", "<0xZZ>", "<0x1>", "<0x100>", "<0x+1>"}) {
    EXPECT_EQ(tokenizer.decode({json["model"]["vocab"][text].get<int32_t>()}), text);
  }
  EXPECT_EQ(tokenizer.encode("a"), Ids{6});
  EXPECT_EQ(tokenizer.encode("\u00E9"), Ids{0}) << "C3 is not there, A9 neither";
  EXPECT_EQ(tokenizer.decode({6}), "a");
}

// TK22: a text that needs what the vocabulary does not have.
TEST(MalformedTokenizer, WhatIsUnknownNeedsItsToken) {
  OrderedJson json = tiny_tokenizer_json();
  json["model"]["unk_token"] = "<unk>";
  const Tokenizer bpe = JsonFolder(json).open();
  EXPECT_EQ(bpe.encode("ab"), Ids{3});
  EXPECT_TRUE(contains(expect_error("TOK_UNK", [&] { bpe.encode("abc"); }).message, "<unk>"));
  const Tokenizer unigram =
      JsonFolder(OrderedJson::parse(R"({"model": {"type": "Unigram", "vocab": [["a", 0]]}})"))
          .open();
  EXPECT_EQ(unigram.encode("aa"), (Ids{0, 0})) << "TK23: a vocabulary of one";
  EXPECT_TRUE(contains(expect_error("TOK_UNK", [&] { unigram.encode("ab"); }).message, "unk_id"));
}

// TK15, TK24: a NUL in a token is shown escaped; blocks for training change no id.
TEST(MalformedTokenizer, WhatIsHarmlessIsTaken) {
  OrderedJson json = tiny_tokenizer_json();
  json["added_tokens"][1]["content"] = "<\0\x1B>"s;
  EXPECT_EQ(JsonFolder(json).open().decode({7}), "<\0\x1B>"s);
  json["added_tokens"][1]["single_word"] = true;
  EXPECT_TRUE(contains(
      expect_error<UnsupportedError>("TOK_UNSUPPORTED", [&] { JsonFolder(json).open(); }).message,
      "\"<\\u{0}\\u{1b}>\""));
  json = tiny_tokenizer_json();
  json["truncation"] = {{"max_length", -1}, {"stride", 1e30}};
  json["padding"] = {{"strategy", {{"Fixed", 1'000'000'000'000}}}, {"pad_id", -7}};
  EXPECT_EQ(JsonFolder(json).open().encode("ab ab"), (Ids{3, 4}));
}

/// Every byte has its symbol, and a few are merged.
OrderedJson whole_alphabet() {
  OrderedJson json = tiny_tokenizer_json();
  json["added_tokens"].clear();
  OrderedJson vocab = OrderedJson::object();
  int32_t id = 0;
  for (uint32_t byte = 0, next = 0x100; byte < 256; ++byte) {
    const bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    const uint32_t c = itself ? byte : next++;
    std::string symbol(1, static_cast<char>(c));
    if (c >= 0x80)
      symbol = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    vocab[symbol] = id++;
  }
  for (const char* token : {"ab", "\u0120ab", "aa"}) vocab[token] = id++;
  json["model"]["vocab"] = vocab;
  json["model"]["merges"] = OrderedJson::parse(R"(["a b", "\u0120 ab", "a a"])");
  return json;
}

// TK20, TK26: one letter, spaces and Chinese, a mebibyte of each.
TEST(MalformedTokenizer, LongTextsAndAnyIdsAreTaken) {
  const JsonFolder folder(whole_alphabet());
  const Tokenizer tokenizer = folder.open();
  std::string chinese;
  while (chinese.size() < kMebibyte) chinese += "\u6A21\u578B";
  for (const std::string& text :
       {std::string(kMebibyte, 'a'), std::string(kMebibyte, ' '), chinese}) {
    expect_bounded("OK", 256 * kMebibyte, 5, [&] {
      if (tokenizer.decode(tokenizer.encode(text)) != text) throw std::logic_error("another text");
    });
  }
  Random random(3);
  const std::vector<std::string> letters = {"a",    "b",      " ",       "ab",
                                            "\n",   "\u00E9", "\u6A21",  "\U0001F642",
                                            "\x01", "\u202E", "<|end|>", "\t"};
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (uint64_t n = random.below(30); n > 0; --n) text += random.pick(letters);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    Ids ids;
    for (uint64_t n = random.below(30); n > 0; --n)
      ids.push_back(static_cast<int32_t>(random.below(300)));
    EXPECT_NO_THROW(tokenizer.decode(ids));
  }
}

}  // namespace
}  // namespace regroup::testing
