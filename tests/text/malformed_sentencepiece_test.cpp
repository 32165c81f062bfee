// A tokenizer.model that nobody vouches for: TK01, TK12 and TK16 to TK18 of the reference's list.
// SentencePiece itself would read beyond its memory, or run out of stack, on several of them.
#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <limits>

#include "regroup/text/tokenizer.h"
#include "support/bounded.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;
using Ids = std::vector<int32_t>;

constexpr int64_t kMebibyte = 1 << 20;
constexpr uint8_t kUnigram = 1, kBpe = 2;
constexpr uint8_t kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;

std::string fixed32(uint32_t number) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(number >> shift & 0xFF);
  return bytes;
}

std::string piece(const std::string& text, float score, uint8_t type) {
  return proto_bytes(1, proto_bytes(1, text) + char{2 << 3 | 5} +
                            fixed32(std::bit_cast<uint32_t>(score)) + proto_small(3, type));
}

const std::string kPieces = piece("<unk>", 0, kUnknown) + piece("<s>", 0, kControl) +
                            piece("</s>", 0, kControl) + piece("\u2581ab", -1, kNormal) +
                            piece("\u2581", -2, kNormal) + piece("a", -3, kNormal) +
                            piece("b", -4, kNormal);

std::string trainer(uint8_t kind) { return proto_bytes(2, proto_small(3, kind)); }
/// @param field  3: of the normalizer, 5: of what undoes it
std::string normalizer(const std::string& charsmap, int field = 3) {
  return proto_bytes(field, proto_bytes(1, "custom") + proto_bytes(2, charsmap) +
                                proto_small(3, 1) + proto_small(4, 0) + proto_small(5, 1));
}
/// A model of these pieces, and of more.
std::string model(const std::string& more, uint8_t kind = kUnigram) {
  return kPieces + more + trainer(kind);
}

class ModelFolder {
 public:
  explicit ModelFolder(const std::string& bytes) : path_(folder_.write("tokenizer.model", bytes)) {}
  Tokenizer open() const { return Tokenizer::open(folder_.path()); }
  const std::string& path() const { return path_; }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  std::string path_;
};

struct BadModel {
  const char* id;
  std::string bytes;
  const char* code;
  const char* says;
};

/// Each is opened in a process of its own first: the death of one is one failure.
void expect_refused(const BadModel& c) {
  SCOPED_TRACE(c.id);
  const ModelFolder folder(c.bytes);
  expect_bounded(c.code, 64 * kMebibyte + 6 * static_cast<int64_t>(c.bytes.size()), 5,
                 [&] { folder.open(); });
  if (::testing::Test::HasFailure()) return;
  const ErrorInfo error = expect_error(c.code, [&] { folder.open(); });
  EXPECT_TRUE(error.message.starts_with(folder.path() + ": ")) << error.message;
  EXPECT_TRUE(contains(error.message, c.says));
  EXPECT_LT(error.message.size(), 1000U);
  EXPECT_FALSE(error.hint.empty());
}

TEST(MalformedModel, APieceHasALengthAScoreAndAType) {
  const std::string too_long((64 << 10) + 1, 'a');
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  for (const uint8_t kind : {kUnigram, kBpe}) {
    expect_refused({"TK12 by one", model(piece(too_long, -5, kNormal), kind), "TOK_TOKEN_LENGTH",
                    "at most 65536 bytes, found 65537 for id 7"});
    expect_refused({"TK12 4 MB", model(piece(std::string(4 * kMebibyte, 'a'), -5, kNormal), kind),
                    "TOK_TOKEN_LENGTH", "found 4194304 for id 7"});
    expect_refused({"TK12 twice in a piece",
                    model(proto_bytes(1, proto_bytes(1, "a") + proto_bytes(1, too_long)), kind),
                    "TOK_TOKEN_LENGTH", "for id 7"});
    expect_refused({"TK16 NaN", model(piece("ab", kNan, kNormal), kind), "TOK_SCORES",
                    "piece 7 must have a finite score"});
    expect_refused(
        {"TK16 infinity", model(piece("ab", kInfinite, kNormal), kind), "TOK_SCORES", "piece 7"});
    expect_refused(
        {"TK16 type 0", model(piece("ab", -5, 0), kind), "TOK_SCORES", "type from 1 to 6"});
    expect_refused({"TK16 type 127", model(piece("ab", -5, 127), kind), "TOK_SCORES", "piece 7"});
    expect_refused({"TK04", model(piece("a", -5, kNormal), kind), "TOK_PROTO", "already defined"});
    expect_refused(
        {"TK13", model(piece("<0xZZ>", -5, kByte), kind), "TOK_PROTO", "no SentencePiece model"});
  }
  expect_refused({"TK15 NUL", model(piece("\0a"s, -5, kNormal)), "TOK_PROTO", "zero-length key"});
  const ModelFolder longest(model(piece(std::string(64 << 10, 'a'), -5, kNormal)));
  expect_bounded("OK", 64 * kMebibyte, 5, [&] { longest.open().encode("ab a"); });
  EXPECT_EQ(ModelFolder(model("", kBpe)).open().encode("ab a"), (Ids{1, 4, 5, 6, 4, 5}));
}

/// A trie of 512 units: the root at 0, one for "a" in the second block, its value in the first.
std::string charsmap(uint32_t root, uint32_t of_a, uint32_t value,
                     const std::string& replacements) {
  std::string units;
  for (uint32_t at = 0; at < 512; ++at) {
    units += fixed32(at == 0 ? root : at == (256 | 'a') ? of_a : at == 1 ? value : 0);
  }
  return fixed32(static_cast<uint32_t>(units.size())) + units + replacements;
}

constexpr uint32_t kLeaf = 1 << 8, kValue = 1U << 31;
constexpr uint32_t kRoot = 256 << 10;                              // on to the second block
constexpr uint32_t kOfA = 'a' | kLeaf | ((256 | 'a') ^ 1U) << 10;  // on to the value

// A sound one first: "a" becomes "b".
TEST(MalformedModel, ACharsmapStaysWithinItself) {
  const ModelFolder sound(model(normalizer(charsmap(kRoot, kOfA, kValue, "b\0"s))));
  EXPECT_EQ(sound.open().encode("a"), (Ids{1, 4, 6}));
  const std::string beyond = "must be a trie that stays within itself";
  const std::string one_unit = fixed32(4) + fixed32(0x7FFFFC00) + "b\0"s;
  const std::pair<const char*, std::string> maps[] = {
      {"root beyond", charsmap(0x7FFFFC00, 0, 0, "b\0"s)},
      {"root just beyond", charsmap(512 << 10, 0, 0, "b\0"s)},
      {"root that is a value", charsmap(0xFFFFFFFF, 0, 0, "b\0"s)},
      {"a unit beyond", charsmap(kRoot, 'a' | 0x7FFFFC00, 0, "b\0"s)},
      {"a value beyond", charsmap(kRoot, kOfA, kValue | 2, "b\0"s)},
      {"a value far beyond", charsmap(kRoot, kOfA, kValue | 0x7FFFFF00, "b\0"s)},
      {"no end", charsmap(kRoot, kOfA, kValue, "b")},
      {"no replacements", charsmap(kRoot, kOfA, kValue, "")},
      {"less than a block", one_unit},
      {"no unit", fixed32(0) + "b\0"s},
      {"half a unit", fixed32(3) + "abc" + "b\0"s},
      {"a size beyond", fixed32(0xFFFFFFF0) + std::string(64, '\0')},
      {"a size alone", fixed32(4)},
      {"a byte", "b"},
  };
  for (const auto& [why, map] : maps) {
    for (const int field : {3, 5}) {
      expect_refused({why, model(normalizer(map, field)), "TOK_CHARSMAP", beyond.c_str()});
    }
  }
  // The last of several counts, so each is looked at.
  expect_refused({"the second of two",
                  model(normalizer(charsmap(kRoot, kOfA, kValue, "b\0"s)) + normalizer(one_unit)),
                  "TOK_CHARSMAP", beyond.c_str()});
  expect_refused(
      {"TK21 growth",
       model(normalizer(charsmap(kRoot, kOfA, kValue, std::string(kMebibyte, 'b') + '\0'))),
       "TOK_EXPANSION", "must replace by at most 256 bytes"});
}

TEST(MalformedModel, BytesThatAreNoMessage) {
  const std::string good = model("");
  const std::string long_tag =
      "\x8A\x80\x80\x80\x10\x01"s + "a";  // field 1 in 32 bits, another in 33
  const BadModel cases[] = {
      {"TK01 empty", "", "TOK_PROTO", "no SentencePiece model"},
      {"TK18 cut varint", good + "\x0A\xFF"s, "TOK_PROTO", "fields do not follow"},
      {"TK18 length 2^63", good + "\x0A" + std::string(9, '\x80') + "\x01", "TOK_PROTO", "fields"},
      {"TK18 endless varint", good + "\x08" + std::string(20, '\xFF'), "TOK_PROTO", "fields"},
      {"TK18 groups", good + std::string(100'000, '\x0B'), "TOK_PROTO", "fields"},
      {"TK18 field 0", good + "\x02\x01"s + "a", "TOK_PROTO", "fields"},
      {"TK18 wire type 6", good + "\x0E\x01"s, "TOK_PROTO", "fields"},
      {"TK18 long tag", good + long_tag, "TOK_PROTO", "fields"},
      {"TK18 cut piece", good + proto_bytes(1, "\x0A\x05"s + "ab"), "TOK_PROTO",
       "piece 7 is damaged"},
      {"TK18 cut normalizer", good + proto_bytes(3, "\x12\x05"s), "TOK_PROTO", "normalizer"},
      {"TK18 pieces that are numbers", "\x08\x01\x08\x02"s + trainer(kBpe), "TOK_PROTO",
       "no SentencePiece model"},
      {"TK23 no pieces", trainer(kUnigram), "TOK_PROTO", "no SentencePiece model"},
      {"TK23 no normal piece", piece("<unk>", 0, kUnknown) + trainer(kUnigram), "TOK_PROTO",
       "no SentencePiece model"},
      {"TK22 no unknown piece", piece("a", 0, kNormal) + trainer(kUnigram), "TOK_PROTO",
       "unk is not defined"},
  };
  for (const BadModel& c : cases) expect_refused(c);
}

// TK11: the size is looked at before the file is.
TEST(MalformedModel, AHugeFileIsNotRead) {
  const ModelFolder folder(model(""));
  std::filesystem::resize_file(folder.path(), 1'000'000'000);
  expect_bounded("LIMIT_FILE_SIZE", 64 * kMebibyte, 5, [&] { folder.open(); });
}

// What lies beside it: C01 to C04 and C10 of tokenizer_config.json, and the tokens that are added.
TEST(MalformedModel, TheFilesBesideItAreNamed) {
  const std::string many = "{\"" + std::string(5 * kMebibyte, 'x') + "\": 7}";
  struct Beside {
    const char* name;
    std::string text;
    const char* code;
  };
  const Beside cases[] = {
      {"tokenizer_config.json", "", "JSON_SYNTAX"},
      {"tokenizer_config.json", "null", "CFG_NOT_OBJECT"},
      {"tokenizer_config.json", R"({"bos_token": "a", "bos_token": "b"})", "JSON_DUPLICATE_KEY"},
      {"tokenizer_config.json", std::string(kMebibyte, '['), "JSON_DEPTH"},
      {"tokenizer_config.json", R"({"model_max_length": Infinity})", "JSON_SYNTAX"},
      {"tokenizer_config.json", R"({"add_eos_token": "yes"})", "CFG_TYPE"},
      {"tokenizer_config.json", "\xFF\xFE{\0}\0"s, "JSON_UTF8"},
      {"tokenizer_config.json", std::string((16 << 20) + 1, ' '), "LIMIT_FILE_SIZE"},
      {"added_tokens.json", "[]", "CFG_NOT_OBJECT"},
      {"added_tokens.json", R"({"a": )", "JSON_SYNTAX"},
      {"added_tokens.json", many, "LIMIT_ADDED_TOKENS"},
  };
  for (const Beside& c : cases) {
    SCOPED_TRACE(c.name + c.text.substr(0, 40));
    const ModelFolder folder(model(""));
    folder.folder().write(c.name, c.text);
    expect_bounded(c.code, 128 * kMebibyte, 5, [&] { folder.open(); });
    const ErrorInfo error = expect_error(c.code, [&] { folder.open(); });
    EXPECT_TRUE(contains(error.message, folder.folder().path()));
    EXPECT_LT(error.message.size(), 1000U);
  }
  // Tokens that cannot be: the model's own are taken.
  const ModelFolder folder(model(""));
  folder.folder().write("tokenizer_config.json",
                        R"({"bos_token": 7, "eos_token": ["</s>"], "added_tokens_decoder": {
                           "-1": {"content": "x"}, "4294967296": {"content": "y"}, "9": 3}})");
  const Tokenizer tokenizer = folder.open();
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
}

}  // namespace
}  // namespace regroup::testing
