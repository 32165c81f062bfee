// How text files become documents.
#include "regroup/text/documents.h"

#include <gtest/gtest.h>

#include "oracles/oracle.h"
#include "regroup/base/input_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;
using Documents = std::vector<std::string>;

Documents read(const std::string& name, const std::string& text,
               const DocumentOptions& options = {}) {
  const TemporaryFolder folder;
  Documents documents;
  const int64_t n =
      read_documents(folder.write(name, text), options,
                     [&](std::string_view document) { documents.emplace_back(document); });
  EXPECT_EQ(n, static_cast<int64_t>(documents.size()));
  return documents;
}

TEST(TxtFile, IsOneDocument) {
  EXPECT_EQ(read("a.txt", " one\n\ntwo \n"),
            Documents{" one\n\ntwo \n"});  // not one byte is changed
  EXPECT_EQ(read("a.txt", "<s>a</s>"), Documents{"<s>a</s>"});
}

TEST(TxtFile, IsCutAtTheSeparator) {
  const DocumentOptions options{.separator = "<|end|>"};
  EXPECT_EQ(read("a.txt", "one<|end|>two\n<|end|>three", options),
            (Documents{"one", "two\n", "three"}));
  // Empty documents are skipped, at the ends too.
  EXPECT_EQ(read("a.txt", "<|end|><|end|>one<|end|> \n<|end|>", options), Documents{"one"});
  EXPECT_EQ(read("a.txt", "one<|end|", options), Documents{"one<|end|"});
  EXPECT_EQ(read("a.txt", "aXXXb", {.separator = "XX"}), (Documents{"a", "Xb"}));
}

TEST(JsonlFile, HoldsADocumentALine) {
  EXPECT_EQ(read("a.jsonl", "{\"text\":\"one\"}\n{\"id\":1,\"text\":\"two\\n\"}\n"),
            (Documents{"one", "two\n"}));
  EXPECT_EQ(read("a.jsonl", "{\"text\":\"one\"}\r\n\r\n  \n{\"text\":\" \"}\n{\"text\":\"last\"}"),
            (Documents{"one", "last"}));
  EXPECT_EQ(read("a.jsonl", "{\"body\":\"one\"}\n", {.field = "body"}), Documents{"one"});
  EXPECT_EQ(read("a.jsonl", "{\"text\":\"a\\u2028b\xE2\x80\xA8\"}\n"), Documents{"a\xE2\x80\xA8"
                                                                                 "b\xE2\x80\xA8"});
}

TEST(JsonlFile, MayHoldATextInSeveralKeys) {
  const std::string pair = R"({"prompt":"one","completion":" two"})";
  EXPECT_EQ(read("a.jsonl", pair, {.field = "prompt,completion"}), Documents{"one two"});
  EXPECT_EQ(read("a.jsonl", pair, {.field = "completion,prompt", .field_separator = "\n"}),
            Documents{" two\none"});
}

TEST(JsonFile, IsAnArrayOrObjectsOneAfterTheOther) {
  const Documents both = {"one]},", "t\"wo\\"};
  const std::string one = R"({"text": "one]},", "x": [{}, []]})";
  const std::string two = R"({"text": "t\"wo\\"})";
  EXPECT_EQ(read("a.json", "[" + one + "," + two + "]"), both);
  EXPECT_EQ(read("a.json", " [\n " + one + " ,\n " + two + "\n]\n"), both);
  EXPECT_EQ(read("a.json", one + "\n" + two + "\n"), both);
  EXPECT_EQ(read("a.json", "{\n\"text\":\n\"alone\"\n}"), Documents{"alone"});
  EXPECT_EQ(read("a.jsonl", "\n[" + one + ",\n" + two + "]"), both) << "whatever its name is";
  EXPECT_EQ(read("a.ndjson", one + "\n" + two), both);
}

const std::string kParquet = "tests/text/golden/parquet/";

/// The documents of a file of tests/text/golden/parquet, and of conversations their messages.
Documents golden(const std::string& name, const DocumentOptions& options = {}) {
  Documents documents;
  read_documents(kParquet + name, options, [&](const Document& document) {
    documents.push_back((document.is_chat ? document.where + ": " : "") +
                        std::string(document.text));
  });
  return documents;
}

TEST(ParquetFile, HoldsADocumentARow) {
  const Documents pages = golden("pages.zstd.parquet");
  EXPECT_EQ(pages.size(), 30u) << "ten of them are empty";
  EXPECT_EQ(pages.front(), "Page 1.\nWas ist größer?");
  EXPECT_EQ(pages, golden("pages.jsonl"));
  const DocumentOptions both{.field = "url,text", .field_separator = "\n"};
  EXPECT_EQ(golden("pages.zstd.parquet", both), golden("pages.jsonl", both));
}

TEST(ParquetFile, MayHoldConversations) {
  const Documents chats = golden("chats.snappy.parquet");
  ASSERT_EQ(chats.size(), 6u);
  EXPECT_EQ(chats[0], kParquet +
                          "chats.snappy.parquet row 1: "
                          R"([{"role":"user","content":"user says 0"},)"
                          R"({"role":"assistant","content":"assistant says 0"}])");
}

TEST(ParquetFile, ColumnsThatNobodyAskedForAreNotRead) {
  // Without its column "text" no row has a document, and the columns that are there are named.
  expect_error("TEXT_FIELD", [] { golden("types.plain.parquet"); });
  EXPECT_TRUE(contains(expect_error("TEXT_FIELD", [] { golden("arc.zstd.parquet"); }).message,
                       "arc.zstd.parquet row 1: must be an object with a string \"text\", found "
                       "the keys id, question, choices (no string: object), answerKey"));
  // Where one of two is there, or what is asked for is no text, the file's other columns are named too.
  const auto message = [](const char* name, const char* field) {
    return expect_error("TEXT_FIELD", [&] { golden(name, {.field = field}); }).message;
  };
  EXPECT_TRUE(contains(message("arc.zstd.parquet", "question,answer"),
                       "a string \"answer\", found the keys question, id, choices, answerKey"));
  EXPECT_TRUE(contains(message("pages.zstd.parquet", "score"),
                       "found the keys score (no string: number), url, raw, text"));
  const TemporaryFolder folder;
  std::string bytes = InputFile(kParquet + "arc.none.parquet").read_all();
  const size_t id = bytes.find("Mercury_0");
  ASSERT_NE(id, std::string::npos);
  bytes[id] = '\xFF';  // no UTF-8, in a column beside
  const std::string path = folder.write("a.parquet", bytes);
  int64_t rows = read_documents(path, {.field = "question"}, [](const Document&) {});
  EXPECT_EQ(rows, 10) << "two of twelve are empty";
  expect_error("TEXT_UTF8", [&] { read_documents(path, {.field = "id"}, [](const Document&) {}); });
}

TEST(Documents, SayHowMuchOfTheFileWasRead) {
  const TemporaryFolder folder;
  std::string lines;
  const std::string line = "{\"text\":\"" + std::string(100'000, 'x') + "\"}\n";
  for (int i = 0; i < 100; ++i) lines += line;
  double last = 0;
  int64_t early = 0;
  read_documents(folder.write("a.jsonl", lines), {}, [&](const Document& document) {
    EXPECT_GE(document.read, last);
    last = document.read;
    early += document.read < 0.5;
  });
  EXPECT_EQ(last, 1);
  EXPECT_NEAR(static_cast<double>(early), 45, 6);  // blocks of 1 MiB are read ahead
  std::vector<double> rows;
  read_documents(kParquet + "pages.zstd.parquet", {.field = "url"},
                 [&](const Document& document) { rows.push_back(document.read); });
  ASSERT_EQ(rows.size(), 40u);
  EXPECT_EQ(rows[0], 1 / 40.0);
  EXPECT_EQ(rows[39], 1);
}

TEST(Documents, BeginBehindAByteOrderMark) {
  EXPECT_EQ(read("a.txt", "\xEF\xBB\xBFone"), Documents{"one"});
  EXPECT_EQ(read("a.jsonl", "\xEF\xBB\xBF{\"text\":\"one\"}\r\n"), Documents{"one"});
  EXPECT_EQ(read("a.json", "\xEF\xBB\xBF[{\"text\":\"one\"}]"), Documents{"one"});
  EXPECT_EQ(read("a.txt", "one\xEF\xBB\xBF"), Documents{"one\xEF\xBB\xBF"})
      << "elsewhere it is text";
}

TEST(Documents, AreTheSameWhereverABlockEnds) {
  // Separators, lines and objects around the end of the first block of 1 MiB.
  for (size_t before = (1 << 20) - 12; before <= (1 << 20) + 2; ++before) {
    const std::string long_text(before, 'x');
    ASSERT_EQ(read("a.txt", long_text + "<|end|>two", {.separator = "<|end|>"}),
              (Documents{long_text, "two"}));
    const std::string record = R"({"text":")" + long_text.substr(11) + R"("})";
    const Documents both = {long_text.substr(11), "two"};
    ASSERT_EQ(read("a.jsonl", record + "\n{\"text\":\"two\"}"), both);
    ASSERT_EQ(read("a.json", "[" + record + ",{\"text\":\"two\"}]"), both);
  }
}

TEST(Documents, AreReadUntilNobodyWantsMore) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.jsonl", "{\"text\":\"one\"}\nno JSON");
  std::string seen;
  EXPECT_EQ(read_documents_while(path, {},
                                 [&](std::string_view document) {
                                   seen += document;
                                   return false;
                                 }),
            1);
  EXPECT_EQ(seen, "one");
}

struct BadText {
  const char* why;
  const char* name;
  std::string text;
  const char* code;
  const char* message;
};

TEST(Documents, MalformedFilesAreRefused) {
  const BadText cases[] = {
      {"empty", "a.txt", "", "TEXT_EMPTY", ": must hold some text, found none"},
      {"blank", "a.txt", " \n\t\r\n", "TEXT_EMPTY", ": must hold some text, found none"},
      {"blank lines", "a.jsonl", "\n\n", "TEXT_EMPTY", ": must hold some text, found none"},
      {"empty documents", "a.jsonl", "{\"text\":\"\"}\n", "TEXT_EMPTY",
       ": must hold some text, found none"},
      {"invalid UTF-8", "a.txt", "caf\xE9", "TEXT_UTF8", ": must be UTF-8 text"},
      {"NUL", "a.txt", "ab\0c"s, "TEXT_BINARY", ": must be text, found a NUL byte at byte 2"},
      {"UTF-16", "a.txt", "\xFF\xFEo\0"s, "TEXT_UTF8", ": must be UTF-8 text, found UTF-16"},
      {"UTF-16 without a mark", "a.jsonl", "{\0\"\0t\0"s, "TEXT_UTF8",
       ": must be UTF-8 text, found UTF-16"},
      {"UTF-32", "a.txt", "\xFF\xFE\0\0o\0\0\0"s, "TEXT_UTF8",
       ": must be UTF-8 text, found UTF-32"},
      {"Parquet", "a.json", "PAR1...", "TEXT_COMPRESSED",
       ": must be text, but this is a Parquet file"},
      {"LFS", "a.jsonl", "version https://git-lfs.github.com/spec/v1\n", "TEXT_COMPRESSED",
       ": must be text, but this is a Git LFS pointer"},
      {"no JSON", "a.jsonl", "{\"text\":\"a\"}\n\ntext\n", "JSON_SYNTAX",
       " line 3: not valid JSON at line 1, column 2"},
      {"cut line", "a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b", "JSON_SYNTAX",
       " line 2: not valid JSON at line 1"},
      {"other fields", "a.jsonl", "{\"prompt\":\"a\",\"n\":1}\n", "TEXT_FIELD",
       " line 1: must be an object with a string \"text\", found the keys prompt, n (no string: "
       "number)"},
      {"number", "a.jsonl", "{\"text\":1}\n", "TEXT_FIELD",
       " line 1: must be an object with a string \"text\", found the keys text (no string: "
       "number)"},
      {"string", "a.jsonl", "\"a\"\n", "TEXT_FIELD",
       " line 1: must be an object with a string \"text\", found a JSON string"},
      {"list of strings", "a.jsonl", "[\"a\"]\n", "TEXT_FIELD",
       " record 1: must be an object {...} that holds the text"},
      {"array without its end", "a.json", "[{\"text\":\"a\"},", "JSON_SYNTAX",
       " record 2: the file ends inside its array"},
      {"cut array", "a.json", "[{\"text\":\"a", "JSON_SYNTAX",
       " record 1: the file ends before it does"},
      {"no comma", "a.json", "[{\"text\":\"a\"}{\"text\":\"b\"}]", "JSON_SYNTAX",
       " record 2: must follow a comma"},
      {"more than an array", "a.json", "[{\"text\":\"a\"}] x", "JSON_SYNTAX",
       ": must end behind its array"},
      {"a hole of zeros between objects", "a.json",
       std::string("{\"text\":\"a\"}") + '\0' + "{\"text\":\"b\"}", "TEXT_FIELD",
       " record 2: must be an object {...} that holds the text"},
      {"an object around", "a.json", "{\"data\":[{\"text\":\"a\"}]}", "TEXT_FIELD",
       " record 1: must be an object with a string \"text\", found the keys data (no string: "
       "array)"},
      {"twice", "a.jsonl", "{\"text\":\"a\",\"text\":\"b\"}\n", "JSON_DUPLICATE_KEY",
       " line 1: key \"text\" appears twice"},
      {"long line", "a.jsonl",
       "{\"text\":\"a\"}\n{\"text\":\"" + std::string(16 << 20, 'x') + "\"}", "JSONL_LINE_LIMIT",
       " line 2: must have at most 16777216 bytes, found more"},
  };
  for (const BadText& c : cases) {
    SCOPED_TRACE(c.why);
    EXPECT_TRUE(contains(expect_error(c.code, [&] { read(c.name, c.text); }).message,
                         c.name + std::string(c.message)));
  }
}

TEST(Documents, OtherKindsAreUnsupported) {
  EXPECT_TRUE(
      contains(expect_error<UnsupportedError>("TEXT_KIND", [] { read("a.arrow", "x"); }).message,
               "a.arrow: text files must end in .txt, .jsonl or .json"));
  expect_error("PARQUET_MAGIC", [] { read("a.parquet", "x"); });
  for (const char* name :
       {"a/b.txt", "b.jsonl", "b.ndjson", "b.json", "b.txt.gz", "b.jsonl.zst", "b.parquet"}) {
    EXPECT_TRUE(is_text_file(name)) << name;
    EXPECT_EQ(is_packed(name), std::string_view(name).find("t.gz") != std::string_view::npos ||
                                   std::string_view(name).find(".zst") != std::string_view::npos ||
                                   std::string_view(name).ends_with(".parquet"))
        << name;
  }
  for (const char* name : {"b.bin", "txt", "b.gz", "b.txt.xz", "b.bin.gz", "b.parquet.gz"}) {
    EXPECT_FALSE(is_text_file(name)) << name;
  }
}

TEST(Documents, AMissingFileIsSaid) {
  expect_error("IO_READ_ERROR",
               [] { read_documents("/nonexistent/a.txt", {}, [](std::string_view) {}); });
}

TEST(Separator, MayBeTypedWithEscapes) {
  EXPECT_EQ(parse_separator("<|end|>"), "<|end|>");
  EXPECT_EQ(parse_separator(R"(\n\t\\n)"), "\n\t\\n");  // the third backslash is escaped itself
  EXPECT_EQ(parse_separator(R"(\r\n<|end|>\r\n)"), "\r\n<|end|>\r\n");
  EXPECT_EQ(parse_separator(R"(\x\)"), R"(\x\)");  // anything else stays
  EXPECT_EQ(parse_separator(""), "");
}

// White space at an end bounds an empty piece: "  \n" has two.
TEST(Words, ArePiecesOfASplitOnWhiteSpace) {
  const std::pair<const char*, int64_t> cases[] = {
      {"", 1},
      {"  \n", 2},
      {"one", 1},
      {" one\ttwo\n\nthree\v\f\rfour, five ", 7},
      {"a\u00A0b", 2},
      {"a \u2003\u3000 b", 2},
      {"a\u0085b\x1C\x1F"
       "c",
       3},
      {"a\u200Bb", 1},  // a zero-width space is no White_Space
      {"a\xC2", 1},     // cut inside a character
  };
  for (const auto& [text, words] : cases) EXPECT_EQ(count_words(text), words) << text;
}

std::string utf8(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c)};
  std::string text;
  if (c < 0x800) {
    text += static_cast<char>(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    text += static_cast<char>(0xE0 | c >> 12);
    text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | c >> 18);
    text += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  }
  return text + static_cast<char>(0x80 | (c & 0x3F));
}

// Each character below U+3100 between two letters, some far above, and texts of many of them in a row.
TEST(Words, PythonCountsTheSame) {
  REGROUP_REQUIRE_ORACLE();
  std::vector<std::string> texts = {"", " ", " a", "a ", "\u00A0a\u3000"};
  for (char32_t c = 1; c < 0x3100; ++c) texts.push_back("a" + utf8(c) + "b");
  for (const char32_t c : {0xFEFF, 0xE0020, 0x1F600, 0x10FFFF})
    texts.push_back("a" + utf8(c) + "b");
  const std::vector<char32_t> alphabet = {'a',  'b',    ' ',    '\n',   0x1C,   0x1F, 0x85,
                                          0xA0, 0x2003, 0x2029, 0x3000, 0x200B, 0xE9, 0x1F600};
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (uint64_t n = random.below(40); n > 0; --n) text += utf8(random.pick(alphabet));
    texts.push_back(text);
  }
  const TemporaryFolder folder;
  const auto expected = ask_oracle("words.py", folder, texts);
  ASSERT_EQ(expected.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(count_words(texts[i]), expected[i].get<int64_t>())
        << nlohmann::ordered_json(texts[i]).dump(-1, ' ', true);
  }
}

}  // namespace
}  // namespace regroup::testing
