// Documents encoded by several threads: the same ids in the same order, and the same errors, as by one.
#include "regroup/text/encoded_documents.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer_json.h"
#include "text/json_folder.h"

namespace regroup::testing {
namespace {

using Documents = std::vector<EncodedDocument>;

Documents encoded(const std::string& path, const Tokenizer& tokenizer, int threads,
                  const DocumentEnds& ends = {}) {
  Documents documents;
  const int64_t n =
      encode_documents(path, tokenizer, {}, ends, threads,
                       [&](const EncodedDocument& document) { documents.push_back(document); });
  EXPECT_EQ(n, static_cast<int64_t>(documents.size()));
  return documents;
}

/// Words of "a" and "b", another text for each seed.
std::string words(size_t count, uint32_t seed) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525 + 1013904223;
    text += (seed >> 30) == 0 ? " ab" : (seed >> 30) == 1 ? " b" : "a";
  }
  return text;
}

void expect_equal(const Documents& found, const Documents& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].ids, expected[i].ids) << i;
    ASSERT_EQ(found[i].bytes, expected[i].bytes) << i;
    ASSERT_EQ(found[i].read, expected[i].read) << i;
  }
}

// 40,000 short documents, some hundred batches, and long ones between them.
TEST(EncodedDocuments, AreTheSameWithAnyNumberOfThreads) {
  const Tokenizer tokenizer = JsonFolder(tiny_tokenizer_json()).open();
  const TemporaryFolder folder;
  std::string lines;
  for (uint32_t i = 0; i < 40000; ++i) {
    const size_t count = i % 5000 == 0 ? 300'000 : 1 + i % 300;
    lines += fmt::format("{{\"text\":\"{}\"}}\n", words(count, i));
  }
  const std::string path = folder.write("a.jsonl", lines);
  const Documents expected = encoded(path, tokenizer, 1);
  ASSERT_EQ(expected.size(), 40000u);
  for (const size_t i : {0u, 1u, 39999u}) {
    EXPECT_EQ(expected[i].ids, tokenizer.encode(words(i % 5000 == 0 ? 300'000 : 1 + i % 300,
                                                      static_cast<uint32_t>(i))));
  }
  EXPECT_GT(expected.front().read, 0);
  EXPECT_LT(expected.front().read, 0.2);
  EXPECT_EQ(expected.back().read, 1);
  for (const int threads : {2, 3, 8}) expect_equal(encoded(path, tokenizer, threads), expected);
}

TEST(EncodedDocuments, HaveTheEndsThatAreAskedFor) {
  OrderedJson json = tiny_tokenizer_json();
  const Tokenizer tokenizer =
      JsonFolder(json, R"({"bos_token": "<|end|>", "eos_token": "<tool>"})").open();
  const TemporaryFolder folder;
  const std::string path = folder.write("a.jsonl", "{\"text\":\"ab\"}\n{\"text\":\"b\"}\n");
  for (const int threads : {1, 2}) {
    const Documents plain = encoded(path, tokenizer, threads);
    const Documents both = encoded(path, tokenizer, threads, {.bos = true, .eos = true});
    ASSERT_EQ(plain.size(), 2u);
    EXPECT_EQ(plain[0].ids, (std::vector<int32_t>{3}));
    EXPECT_EQ(plain[0].bytes, 2);
    EXPECT_EQ(both[0].ids, (std::vector<int32_t>{6, 3, 7}));
    EXPECT_EQ(both[1].ids, (std::vector<int32_t>{6, 1, 7}));
  }
}

/// "c" is in no vocabulary, and the unk_token neither: encoding it is an error.
OrderedJson without_unknown() {
  OrderedJson json = tiny_tokenizer_json();
  json["model"]["unk_token"] = "<none>";
  return json;
}

TEST(EncodedDocuments, TheFirstErrorCountsWhoeverFindsIt) {
  const Tokenizer tokenizer = JsonFolder(without_unknown()).open();
  const TemporaryFolder folder;
  std::string lines;
  for (uint32_t i = 0; i < 5000; ++i) {
    lines += i == 3000 ? "{\"text\":\"c\"}\n" : fmt::format("{{\"text\":\"{}\"}}\n", words(200, i));
  }
  // The reader comes upon its own error while the other still waits to be found.
  const std::string path = folder.write("a.jsonl", lines + "no JSON\n");
  for (const int threads : {1, 2, 8}) {
    int64_t seen = 0;
    expect_error("TOK_UNK", [&] {
      encode_documents(path, tokenizer, {}, {}, threads, [&](const EncodedDocument&) { ++seen; });
    });
    EXPECT_EQ(seen, 3000) << threads;
    const std::string later = folder.write("b.jsonl", "{\"text\":\"ab\"}\nno JSON\n");
    seen = 0;
    expect_error("JSON_SYNTAX", [&] {
      encode_documents(later, tokenizer, {}, {}, threads, [&](const EncodedDocument&) { ++seen; });
    });
    EXPECT_EQ(seen, 1) << threads;
  }
}

TEST(EncodedDocuments, AnErrorOfTheVisitorEndsThem) {
  const Tokenizer tokenizer = JsonFolder(tiny_tokenizer_json()).open();
  const TemporaryFolder folder;
  std::string lines;
  for (uint32_t i = 0; i < 20000; ++i) lines += fmt::format("{{\"text\":\"{}\"}}\n", words(100, i));
  const std::string path = folder.write("a.jsonl", lines);
  for (const int threads : {1, 4}) {
    int64_t calls = 0;
    const auto visit = [&](const EncodedDocument&) {
      if (++calls == 7) throw OutputError({.code = "DISK_FULL", .message = "full"});
    };
    expect_error<OutputError>("DISK_FULL",
                              [&] { encode_documents(path, tokenizer, {}, {}, threads, visit); });
    EXPECT_EQ(calls, 7) << threads;
  }
}

}  // namespace
}  // namespace regroup::testing
