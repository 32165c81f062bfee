// Lines of JSON that nobody vouches for: Q01 to Q09 of the reference's list, as far as documents
// go, and chat templates (C22, C23).
#include <gtest/gtest.h>

#include <filesystem>

#include "regroup/text/documents.h"
#include "regroup/text/tokenizer.h"
#include "support/bounded.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer_json.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;
using Documents = std::vector<std::string>;

constexpr int64_t kMebibyte = 1 << 20;
const std::string kGood = "{\"text\":\"one\"}\n";

Documents read(const std::string& path) {
  Documents documents;
  read_documents(path, {}, [&](std::string_view document) { documents.emplace_back(document); });
  return documents;
}

struct BadLine {
  const char* id;
  std::string text;
  const char* code;
  const char* says;
};

// Each names the line, or the record of a file that has no lines.
TEST(MalformedRecords, NameTheirLine) {
  const BadLine cases[] = {
      {"Q03 Latin-1", kGood + "\n{\"text\":\"caf\xE9\"}\n", "TEXT_UTF8",
       " line 3: must be UTF-8 text, found another byte at byte 28"},
      {"Q03 overlong", kGood + "{\"text\":\"\xC0\x80\"}\n", "TEXT_UTF8", " line 2: must be UTF-8"},
      {"Q03 surrogate", kGood + "{\"text\":\"\xED\xA0\x80\"}\n", "TEXT_UTF8", " line 2: "},
      {"Q03 cut character", kGood + "{\"text\":\"\xE2\x82\"}\n", "TEXT_UTF8", " line 2: "},
      {"Q03 NUL", kGood + kGood + "{\"text\":\"a\0\"}\n"s, "TEXT_BINARY",
       " line 3: must be text, found a NUL byte at byte 40"},
      {"Q03 lone surrogate escape", kGood + "{\"text\":\"\\ud800\"}\n", "JSON_SYNTAX", " line 2: "},
      {"Q03 raw control", kGood + "{\"text\":\"a\tb\"}\n", "JSON_SYNTAX", " line 2: "},
      {"Q03 mark in the middle", kGood + "\xEF\xBB\xBF" + kGood, "JSON_SYNTAX",
       " line 2: must not begin with a byte order mark"},
      {"Q04 two on a line", "{\"text\":\"a\"}{\"text\":\"b\"}\n", "JSON_SYNTAX", " line 1: "},
      {"Q04 NaN", kGood + "{\"text\":\"a\",\"score\":NaN}\n", "JSON_SYNTAX", " line 2: "},
      {"Q05 list", kGood + "{\"text\":[\"a\"]}\n", "TEXT_FIELD", " line 2: must be an object with"},
      {"Q05 null", kGood + "{\"text\":null}\n", "TEXT_FIELD", "text (no string: null)"},
      {"Q05 message without a role", "{\"messages\":[{\"content\":\"a\"}]}\n", "TEXT_FIELD",
       " line 1: must be an object with a string \"text\", found the keys messages"},
      {"Q05 no message", "{\"messages\":[]}\n", "TEXT_FIELD", " line 1: "},
      {"deep", kGood + "{\"text\":\"a\",\"more\":" + std::string(100'000, '[') + "\n", "JSON_DEPTH",
       " line 2: nesting must stay within 64 levels"},
      {"twice", kGood + "{\"a\":{\"b\":1,\"b\":2}}\n", "JSON_DUPLICATE_KEY", " line 2: "},
      {"a hostile key", kGood + "{\"\\u001b[2J\":1}\n", "TEXT_FIELD", "found the keys \\u{1b}[2J"},
  };
  const TemporaryFolder folder;
  for (const BadLine& c : cases) {
    SCOPED_TRACE(c.id);
    const std::string path = folder.write("a.jsonl", c.text);
    const ErrorInfo error = expect_error(c.code, [&] { read(path); });
    EXPECT_TRUE(error.message.starts_with(path + " line ")) << error.message;
    EXPECT_TRUE(contains(error.message, c.says));
    EXPECT_FALSE(error.hint.empty());
  }
}

// Q01, Q02: a file of any length costs a line's memory.
TEST(MalformedRecords, EndlessLinesCostLittle) {
  const TemporaryFolder folder;
  const struct {
    const char* name;
    std::string front;
    const char* code;
  } cases[] = {
      {"text.jsonl", "{\"text\":\"a", "JSONL_LINE_LIMIT"},
      {"array.json", "[{\"text\":\"a", "JSONL_LINE_LIMIT"},
      {"nothing.jsonl", "", "JSONL_LINE_LIMIT"},
      {"text.json", "\n\n{", "JSONL_LINE_LIMIT"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string path = folder.write(c.name, c.front);
    std::filesystem::resize_file(path, int64_t{1} << 30);  // zeros that take no disk
    expect_bounded(c.code, 128 * kMebibyte, 5, [&] { read(path); });
  }
  const std::string lines = folder.write("blank.jsonl", std::string(4 * kMebibyte, '\n'));
  expect_bounded("TEXT_EMPTY", 64 * kMebibyte, 5, [&] { read(lines); });
  const std::string spaces = folder.write("blank.json", std::string(64 * kMebibyte, '\n'));
  expect_bounded("TEXT_EMPTY", 64 * kMebibyte, 5, [&] { read(spaces); });
}

// Q03, Q04, Q08: what a document may hold is kept to the byte.
TEST(MalformedRecords, HostileTextIsKept) {
  std::string emoji;
  while (emoji.size() < kMebibyte) emoji += "\U0001F9D1\u200D\U0001F33E";
  const Documents texts = {"<script>alert(1)</script>",
                           "]]></td>&amp;",
                           "\x1B[2J\x1B]0;title\x07",
                           "\u202Eright to left\u2066",
                           "a\u2028b\u2029c\u0085d",
                           "\uFEFFa",
                           emoji};
  const TemporaryFolder folder;
  std::string lines;
  for (const std::string& text : texts) lines += OrderedJson{{"text", text}}.dump() + "\r\n";
  lines.resize(lines.size() - 2);  // the last line has no end
  EXPECT_TRUE(read(folder.write("a.jsonl", lines)) == texts);
  for (const std::string& text : texts) {
    if (text.starts_with("\uFEFF")) continue;  // at the beginning of a file it is no text
    EXPECT_TRUE(read(folder.write("a.txt", text)) == Documents{text});
  }
}

/// A folder with a tokenizer and this tokenizer_config.json.
class ChatFolder {
 public:
  explicit ChatFolder(const std::string& config) {
    folder_.write("tokenizer.json", tiny_tokenizer_json().dump());
    folder_.write("tokenizer_config.json", config);
  }
  std::string write_down() const {
    std::string written;
    const Tokenizer tokenizer = Tokenizer::open(folder_.path());
    return std::string(tokenizer.text_of(
        {R"([{"role": "user", "content": "secret"}])", /*is_chat=*/true, "a.jsonl line 1"},
        written));
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

TEST(MalformedTemplate, IsRefusedInBoundedTime) {
  std::string loops, ends;
  for (int i = 0; i < 10; ++i) {
    loops += "{% for a" + std::to_string(i) + " in range(10) %}";
    ends += "{% endfor %}";
  }
  const std::pair<const char*, OrderedJson> cases[] = {
      {"TPL_BUDGET", loops + "x" + ends},                               // C22: 10^10 rounds
      {"TPL_BUDGET", std::string(kMebibyte + 1, 'x')},                  // C22
      {"TPL_UNSUPPORTED", "{{ messages.__class__.__mro__ }}"},          // C22
      {"TPL_UNSUPPORTED", "{% include '/etc/passwd' %}"},               // C22
      {"TPL_UNSUPPORTED", "{% import 'os' as os %}{{ os.getcwd() }}"},  // C22
      {"TPL_UNSUPPORTED", "{% extends '../../x.jinja' %}"},             // C23
      {"TPL_TYPE", OrderedJson::array()},                               // C23
      {"TPL_TYPE", OrderedJson::parse(R"([{"name": "default"}])")},     // C23
      {"TPL_TYPE", OrderedJson::parse(R"([{"name": "default", "template": 1}])")},
      {"TPL_TYPE", OrderedJson::parse(R"({"default": "x"})")},
  };
  for (const auto& [code, source] : cases) {
    SCOPED_TRACE(source.dump().substr(0, 80));
    const ChatFolder folder(OrderedJson{{"chat_template", source}}.dump());
    expect_bounded(code, 128 * kMebibyte, 5, [&] { folder.write_down(); });
    try {
      folder.write_down();
    } catch (const Error& error) {
      const std::string file = folder.folder() / "tokenizer_config.json";
      const bool placed = error.info().path == file || error.info().path == "a.jsonl line 1";
      EXPECT_TRUE(placed) << error.what();
      EXPECT_LT(std::string(error.what()).size(), 1000U);
    }
  }
}

// C23: what looks like a path is a text.
TEST(MalformedTemplate, NamesNoFile) {
  const ChatFolder folder(R"({"chat_template": "../template.jinja"})");
  EXPECT_EQ(folder.write_down(), "../template.jinja");
}

}  // namespace
}  // namespace regroup::testing
