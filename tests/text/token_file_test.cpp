// Token files: llm.c headers by hand, raw uint16, everything that can be wrong with either.
#include "regroup/text/token_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int64_t>;

/// The 256 int32 of llm.c: magic, version, number of ids.
std::string header(int32_t magic, int32_t version, uint64_t n_ids) {
  std::string bytes(1024, '\0');
  const int32_t fields[] = {magic, version, static_cast<int32_t>(n_ids),
                            static_cast<int32_t>(n_ids >> 32)};
  std::memcpy(bytes.data(), fields, sizeof(fields));
  return bytes;
}

template <typename T>
std::string ids_as(const std::vector<T>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(T)};
}

std::string v1(const std::vector<uint16_t>& ids) {
  return header(20240520, 1, ids.size()) + ids_as(ids);
}
std::string v7(const std::vector<uint32_t>& ids) {
  return header(20240801, 7, ids.size()) + ids_as(ids);
}

Ids read(const std::string& bytes, TokenFormat format = TokenFormat::kAuto,
         int64_t vocab_size = int64_t{1} << 32) {
  const TemporaryFolder folder;
  const TokenFile file(folder.write("x.bin", bytes), format);
  Ids ids(static_cast<size_t>(file.size()));
  file.read(0, ids, vocab_size);
  return ids;
}

TEST(TokenFile, ReadsLlmcVersion1) { EXPECT_EQ(read(v1({1, 2, 65535, 0})), (Ids{1, 2, 65535, 0})); }

TEST(TokenFile, ReadsLlmcVersion7) {
  EXPECT_EQ(read(v7({1, 128000, 4294967295U})), (Ids{1, 128000, 4294967295}));
}

TEST(TokenFile, TheFirstBytesByHand) {
  // 20240520 = 0x0134D888 and 20240801 = 0x0134D9A1, little-endian.
  EXPECT_EQ(v1({}).substr(0, 8), std::string("\x88\xD8\x34\x01\x01\0\0\0", 8));
  EXPECT_EQ(v7({}).substr(0, 8), std::string("\xA1\xD9\x34\x01\x07\0\0\0", 8));
}

TEST(TokenFile, RawUint16OnlyWhenNamed) {
  EXPECT_EQ(read(std::string("\x01\0\xFF\xFF\x02\x01", 6), TokenFormat::kNanogpt),
            (Ids{1, 65535, 258}));
  expect_error("TOKENS_FORMAT", [] { read(std::string("\x01\0\xFF\xFF", 4)); });
}

TEST(TokenFile, ReadsAnyPart) {
  const TemporaryFolder folder;
  const TokenFile file(folder.write("x.bin", v7({10, 11, 12, 13, 14})));
  Ids part(2);
  file.read(2, part, 100);
  EXPECT_EQ(part, (Ids{12, 13}));
}

struct BadTokens {
  const char* why;
  std::string bytes;
  TokenFormat format;
  const char* code;
  const char* message;
};

TEST(TokenFile, RefusesWhatIsWrong) {
  const auto automatic = TokenFormat::kAuto;
  const char* format = "x.bin: must be a token file with an llm.c header (version 1 or 7)";
  const BadTokens cases[] = {
      {"empty", "", automatic, "TOKENS_FORMAT", format},
      {"text", "once upon a time", automatic, "TOKENS_FORMAT", format},
      {"header cut", v1({1}).substr(0, 1023), automatic, "TOKENS_FORMAT", format},
      {"other magic", header(20240522, 1, 0), automatic, "TOKENS_FORMAT", format},
      {"version 2", header(20240520, 2, 0), automatic, "TOKENS_FORMAT", format},
      {"mixed", header(20240520, 7, 0), automatic, "TOKENS_FORMAT", format},
      {"one id less", header(20240520, 1, 3) + ids_as<uint16_t>({1, 2}), automatic,
       "TOKENS_TRUNCATED", "x.bin: the header declares 3 ids, the file holds 2"},
      {"one id more", header(20240520, 1, 1) + ids_as<uint16_t>({1, 2}), automatic,
       "TOKENS_TRUNCATED", "x.bin: the header declares 1 ids, the file holds 2"},
      {"half an id", v1({1, 2}) + "x", automatic, "TOKENS_TRUNCATED", "the header declares 2 ids"},
      {"half an id of 4 bytes", v7({1, 2}).substr(0, 1024 + 6), automatic, "TOKENS_TRUNCATED",
       "declares 2 ids, the file holds 1"},
      {"2^63 ids", header(20240520, 1, uint64_t{1} << 63), automatic, "TOKENS_TRUNCATED",
       "the file holds 0"},
      {"2^64-1 ids", header(20240801, 7, UINT64_MAX), automatic, "TOKENS_TRUNCATED",
       "the file holds 0"},
      {"raw, odd", "123", TokenFormat::kNanogpt, "TOKENS_TRUNCATED",
       "x.bin: raw uint16 ids need an even number of bytes above 0, found 3"},
      {"raw, empty", "", TokenFormat::kNanogpt, "TOKENS_TRUNCATED", "found 0"},
  };
  for (const BadTokens& c : cases) {
    SCOPED_TRACE(c.why);
    EXPECT_TRUE(
        contains(expect_error(c.code, [&] { read(c.bytes, c.format); }).message, c.message));
  }
}

TEST(TokenFile, IdsLieBelowTheVocabulary) {
  EXPECT_TRUE(
      contains(expect_error("TOKENS_RANGE",
                            [] {
                              read(v1({1, 2, 512, 3}), TokenFormat::kAuto, 512);
                            })
                   .message,
               "x.bin: every id must lie below the vocabulary of 512, found 512 at index 2"));
  const TemporaryFolder folder;
  const TokenFile file(folder.write("x.bin", v1({1, 511})));
  EXPECT_NO_THROW(file.require_vocabulary(512));
  expect_error("TOKENS_RANGE", [&] { file.require_vocabulary(511); });
  const TokenFile empty(folder.write("empty.bin", v1({})));
  expect_error("TOKENS_EMPTY", [&] { empty.require_vocabulary(512); });
}

TEST(TokenFile, EveryBlockIsChecked) {
  const TemporaryFolder folder;
  std::vector<uint16_t> ids((1 << 20) + 10, 5);  // one block of 2^20 and the start of a second
  ids.back() = 600;
  const TokenFile file(folder.write("x.bin", v1(ids)));
  EXPECT_TRUE(contains(expect_error("TOKENS_RANGE", [&] { file.require_vocabulary(512); }).message,
                       "found 600 at index 1048585"));
}

TEST(Writer, MakesVersion1UpTo65536IdsAndVersion7Above) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.bin";
  const auto written = [&](int64_t vocab_size, const std::vector<std::vector<int32_t>>& pieces) {
    TokenFileWriter writer(path, vocab_size);
    for (const auto& piece : pieces) writer.add(piece);
    writer.finish();
    return read_file(path);
  };
  EXPECT_EQ(written(512, {{1, 2}, {}, {511}}), v1({1, 2, 511}));
  EXPECT_EQ(written(65'536, {{65'535}}), v1({65'535}));
  EXPECT_EQ(written(65'537, {{65'536}, {0}}), v7({65'536, 0}));
  EXPECT_EQ(written(512, {}), v1({}));
}

TEST(Writer, LongFilesRoundTrip) {
  const TemporaryFolder folder;
  for (const int64_t vocab_size : {60'000, 200'000}) {
    TokenFileWriter writer(folder / "x.bin", vocab_size);
    Ids expected;
    std::vector<int32_t> piece;
    for (int32_t i = 0; i < 1'000'000; ++i) {
      piece.push_back(static_cast<int32_t>(int64_t{i} * 7919 % vocab_size));
      expected.push_back(piece.back());
      if (piece.size() == 997) {
        writer.add(piece);
        piece.clear();
      }
    }
    writer.add(piece);
    EXPECT_EQ(writer.size(), 1'000'000);
    writer.finish();
    EXPECT_EQ(read(read_file(folder / "x.bin"), TokenFormat::kAuto, vocab_size), expected);
  }
}

TEST(Writer, NothingIsPublishedBeforeFinish) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.bin", "before");
  {
    TokenFileWriter writer(path, 512);
    writer.add(std::vector<int32_t>{1, 2, 3});
    EXPECT_EQ(read_file(path), "before");
  }
  EXPECT_EQ(read_file(path), "before");
  const auto files = std::filesystem::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);  // no staging file is left
}

TEST(Format, IsNamed) {
  EXPECT_EQ(value_of<TokenFormat>("auto", "--token-format"), TokenFormat::kAuto);
  EXPECT_EQ(value_of<TokenFormat>("llmc", "--token-format"), TokenFormat::kLlmc);
  EXPECT_EQ(value_of<TokenFormat>("nanogpt", "--token-format"), TokenFormat::kNanogpt);
  EXPECT_EQ(expect_error<ConfigError>("FLAG_VALUE",
                                      [] { value_of<TokenFormat>("raw", "--token-format"); })
                .message,
            "--token-format must be auto, llmc or nanogpt, found raw");
}

}  // namespace
}  // namespace regroup::testing
