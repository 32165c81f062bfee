// Known digests. The last of each was made by `sha256sum` and by XXH3_128bits() in one call.
#include "regroup/base/digest.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

/// 100,000 bytes: byte i is 7 i + 3 modulo 256.
std::string pattern() {
  std::string bytes(100'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + 3);
  return bytes;
}
constexpr const char* kPatternSha =
    "d96bab6a55ee326ba206dd4a85a6e95e14360d7fabbf448f03e689c24382b7d0";

/// The digest of `bytes` fed in pieces of `piece` bytes.
template <typename Hash>
std::string in_pieces(const std::string& bytes, size_t piece) {
  Hash hash;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    hash.update(std::as_bytes(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at))));
  }
  return hash.hex();
}

TEST(Sha256, KnownDigests) {
  EXPECT_EQ(sha256_of_text(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of_text("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of_text(pattern()), kPatternSha);
}

TEST(Sha256, PiecesDoNotMatter) {
  for (const size_t piece : {1U, 63U, 64U, 4096U, 100'000U})
    EXPECT_EQ(in_pieces<Sha256>(pattern(), piece), kPatternSha);
}

TEST(Sha256, OfFiles) {
  const TemporaryFolder folder;
  EXPECT_EQ(sha256_of_file(folder.write("a", pattern())), kPatternSha);
  EXPECT_EQ(sha256_of_file(folder.write("b", "")), sha256_of_text(""));
  // Longer than the buffer of 4 MiB.
  const std::string large(9'000'001, 'x');
  EXPECT_EQ(sha256_of_file(folder.write("c", large)), sha256_of_text(large));
  expect_error("IO_READ_ERROR", [&] { sha256_of_file(folder / "absent"); });
  expect_error("SRC_NOT_REGULAR", [&] { sha256_of_file(folder.path()); });
}

TEST(Xxh3, KnownDigests) {
  EXPECT_EQ(in_pieces<Xxh3>("", 1), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(in_pieces<Xxh3>("abc", 3), "06b05ab6733a618578af5f94892f3950");
  for (const size_t piece : {1U, 240U, 1024U, 100'000U}) {
    EXPECT_EQ(in_pieces<Xxh3>(pattern(), piece), "d9e155dd16e141d00c056f6fcc340974");
  }
}

TEST(Digests, SurviveAMove) {
  Sha256 first;
  first.update(std::as_bytes(std::span("ab", 2)));
  Sha256 second = std::move(first);
  second.update(std::as_bytes(std::span("c", 1)));
  EXPECT_EQ(second.hex(), sha256_of_text("abc"));
}

}  // namespace
}  // namespace regroup::testing
