// What gzip and zstd did to a text is undone; damage and bombs are errors.
#include "regroup/text/text_source.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "regroup/base/host_memory.h"
#include "regroup/text/documents.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

std::string gzip(const std::string& text) {
  z_stream state = {};
  deflateInit2(&state, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&state, text.size()) + 64, '\0');
  state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  state.avail_in = static_cast<uInt>(text.size());
  state.next_out = reinterpret_cast<Bytef*>(packed.data());
  state.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&state, Z_FINISH), Z_STREAM_END);
  packed.resize(state.total_out);
  deflateEnd(&state);
  return packed;
}

std::string zstd(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

struct Packing {
  const char* extension;
  std::string (*pack)(const std::string&);
};
constexpr Packing kPackings[] = {{".gz", gzip}, {".zst", zstd}};

std::string unpacked(const std::string& path, size_t block) {
  TextSource source(path);
  std::string all;
  std::string part(block, '\0');
  for (size_t n; (n = source.read(std::as_writable_bytes(std::span(part)))) > 0;) {
    all += part.substr(0, n);
  }
  return all;
}

std::string noise(size_t bytes) {
  Random random(5);
  std::string text;
  while (text.size() < bytes) text += static_cast<char>('a' + random.below(26));
  return text;
}

TEST(TextSource, GivesWhatWasPacked) {
  const TemporaryFolder folder;
  // Nothing, a byte, what compresses to almost nothing, what does not and is longer than a block.
  for (const std::string& text :
       {std::string(), std::string("x"), std::string(3 << 20, 'z'), noise(700'000)}) {
    EXPECT_EQ(unpacked(folder.write("a.txt", text), 1000), text);
    for (const Packing& p : kPackings) {
      const std::string path = folder.write(std::string("a.txt") + p.extension, p.pack(text));
      EXPECT_TRUE(unpacked(path, 1000) == text) << p.extension << " of " << text.size();
      EXPECT_TRUE(unpacked(path, 1 << 20) == text) << p.extension << " of " << text.size();
    }
  }
}

TEST(TextSource, ReadsSeveralPiecesInARow) {
  const TemporaryFolder folder;
  for (const Packing& p : kPackings) {
    const std::string two = p.pack("one ") + p.pack("") + p.pack("two");
    EXPECT_EQ(unpacked(folder.write(std::string("a") + p.extension, two), 100), "one two");
  }
  EXPECT_EQ(unpacked(folder.write("a.gz", gzip("padded") + std::string(500, '\0')), 100), "padded");
  const std::string skipped("\x51\x2A\x4D\x18\x03\0\0\0abc", 11);
  EXPECT_EQ(unpacked(folder.write("a.zst", skipped + zstd("text") + skipped), 100), "text");
}

TEST(TextSource, GoesByTheBytesNotByTheName) {
  const TemporaryFolder folder;
  EXPECT_EQ(unpacked(folder.write("a.txt", gzip("text")), 100), "text");
  EXPECT_EQ(unpacked(folder.write("a.txt.gz", zstd("text")), 100), "text");
}

TEST(TextSource, RefusesEveryUnfinishedFile) {
  const TemporaryFolder folder;
  for (const Packing& p : kPackings) {
    const std::string whole = p.pack("some text that is long enough to be cut");
    for (size_t kept = 1; kept < whole.size(); ++kept) {
      const std::string path =
          folder.write(std::string("a.txt") + p.extension, whole.substr(0, kept));
      expect_error("TEXT_COMPRESSED", [&] { unpacked(path, 7); });
    }
  }
}

TEST(TextSource, RefusesDamage) {
  const TemporaryFolder folder;
  std::string damaged = gzip(noise(1000));
  damaged[500] ^= 0x55;
  EXPECT_TRUE(contains(
      expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.gz", damaged), 99); }).message,
      "its gzip data is damaged"));
  const std::string zeros = "\x28\xB5\x2F\xFD" + std::string(64, '\0');
  expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.zst", zeros), 99); });
  expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.gz", gzip("x") + "more"), 99); });
  expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.zst", zstd("x") + "more"), 99); });
  EXPECT_TRUE(contains(
      expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.gz", "text"), 99); }).message,
      "must be gzip data, as its name says"));
}

TEST(TextSource, GivesNoFrameMuchMemory) {
  const TemporaryFolder folder;
  // A frame header that asks for a window of 2 GiB: descriptor 0, window descriptor 21 << 3.
  const std::string frame = std::string("\x28\xB5\x2F\xFD\0\xA8", 6) + std::string(8, '\0');
  const ErrorInfo error =
      expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.zst", frame), 9); });
  EXPECT_TRUE(contains(error.message, "needs more than 128 MiB"));
  EXPECT_TRUE(contains(error.hint, "--long"));
}

TEST(TextSource, NamesOtherKinds) {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> kinds[] = {{"BZh9...", "bzip2"},
                                                       {std::string("\xFD\x37zXZ\0\0", 7), "xz"},
                                                       {"PK\x03\x04", "ZIP"},
                                                       {"PAR1", "Parquet"}};
  for (const auto& [bytes, name] : kinds) {
    const ErrorInfo error =
        expect_error("TEXT_COMPRESSED", [&] { unpacked(folder.write("a.txt", bytes), 9); });
    EXPECT_TRUE(contains(error.message, name)) << error.message;
    EXPECT_FALSE(error.hint.empty());
  }
}

TEST(TextSource, ABombCostsNoMemory) {
  const TemporaryFolder folder;
  const std::string mebibyte(1 << 20, 'a');
  std::string bomb;
  for (int i = 0; i < 2000; ++i) bomb += gzip(mebibyte);  // 2 MiB hold 2 GB
  const std::string path = folder.write("a.jsonl.gz", bomb);
  const int64_t before = peak_rss_bytes();
  expect_error("JSONL_LINE_LIMIT", [&] { read_documents(path, {}, [](std::string_view) {}); });
  EXPECT_LT(peak_rss_bytes() - before, 128 << 20);
}

TEST(Documents, OfPackedFilesAreThoseOfTheText) {
  const TemporaryFolder folder;
  for (const Packing& p : kPackings) {
    const std::pair<const char*, const char*> files[] = {
        {"a.txt", "one"}, {"a.jsonl", "{\"text\":\"one\"}\n"}, {"a.json", "[{\"text\":\"one\"}]"}};
    for (const auto& [name, text] : files) {
      std::string seen;
      read_documents(folder.write(std::string(name) + p.extension, p.pack(text)), {},
                     [&](std::string_view document) { seen += document; });
      EXPECT_EQ(seen, "one") << name << p.extension;
    }
    expect_error("TEXT_EMPTY", [&] {
      read_documents(folder.write(std::string("a.txt") + p.extension, p.pack("")), {},
                     [](std::string_view) {});
    });
  }
}

}  // namespace
}  // namespace regroup::testing
