// JSON that nobody vouches for: refused with the place, bounded in depth and size.
#include "regroup/base/strict_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;

Json parse(const std::string& text) { return parse_strict_json(text, "x.json", kConfigJson); }

TEST(StrictJson, ReadsWhatJsonAllows) {
  const char* texts[] = {
      "null",
      "true",
      "-1",
      "1.5e-3",
      "\"\\u00e9\\n\\\"\"",
      "[]",
      "{}",
      "[1,[2,[3]],{\"a\":null}]",
      "{\"b\":1,\"a\":{\"b\":2},\"\":3}",
      "18446744073709551615",
      "-9223372036854775808",
      " \t\r\n{\"a\" : [ 1 , 2 ] }\n",
  };
  for (const char* text : texts) {
    SCOPED_TRACE(text);
    EXPECT_EQ(parse(text), Json::parse(text));
  }
}

TEST(StrictJson, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse(R"({"z":1,"a":{"y":[{"q":1,"b":2}],"c":3},"m":4})").dump(),
            R"({"z":1,"a":{"y":[{"q":1,"b":2}],"c":3},"m":4})");
}

struct BadText {
  std::string text;
  const char* code;
  const char* message;  ///< a part of it
};

TEST(StrictJson, RefusesTheRest) {
  const BadText cases[] = {
      {"", "JSON_SYNTAX", "x.json: not valid JSON at line 1, column 1: "},
      {"{\"a\":1,}", "JSON_SYNTAX", "line 1, column 8"},
      {"{\n  \"a\": 1\n  \"b\": 2\n}", "JSON_SYNTAX", "line 3, column "},
      {"[1] 2", "JSON_SYNTAX", "line 1, column 5: syntax error"},
      {"NaN", "JSON_SYNTAX", "line 1, column 1"},
      {"[1, Infinity]", "JSON_SYNTAX", "line 1, column 5"},
      {"01", "JSON_SYNTAX", "line 1, column 2"},
      {"0x10", "JSON_SYNTAX", "line 1, column 2"},
      {"1e999", "JSON_SYNTAX", "number overflow"},
      {"\"\\ud800\"", "JSON_SYNTAX", "line 1"},
      {"\"a\nb\"", "JSON_SYNTAX", "line 1, column 3"},
      {"{'a':1}", "JSON_SYNTAX", "line 1, column 2"},
      {"/* */ {}", "JSON_SYNTAX", "line 1, column 1"},
      {"\xEF\xBB\xBF{}", "JSON_SYNTAX", "x.json: must not begin with a byte order mark"},
      {"{}\0"s, "JSON_SYNTAX", "x.json: NUL character at byte 2"},
      {"\"\0\""s, "JSON_SYNTAX", "x.json: NUL character at byte 1"},
      {"\"\xC0\x80\"", "JSON_UTF8", "x.json: must be valid UTF-8"},
      {"\"\xED\xA0\x80\"", "JSON_UTF8", "x.json: must be valid UTF-8"},
      {"{\"a\":1,\"a\":1}", "JSON_DUPLICATE_KEY", "x.json: key \"a\" appears twice"},
      {"{\"a\":1,\"\\u0061\":2}", "JSON_DUPLICATE_KEY", "key \"a\" appears twice"},
      {"[{\"x\":{\"k\":1,\"l\":2,\"k\":3}}]", "JSON_DUPLICATE_KEY", "key \"k\" appears twice"},
      {"{\"\\u001b[2J\":1,\"\\u001b[2J\":1}", "JSON_DUPLICATE_KEY",
       "key \"\\u{1b}[2J\" appears twice"},
  };
  for (const BadText& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_TRUE(contains(expect_error(c.code, [&] { parse(c.text); }).message, c.message));
  }
}

TEST(StrictJson, TheSameKeyMayStandInTwoObjects) {
  EXPECT_NO_THROW(parse(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]})"));
}

TEST(StrictJson, DepthIsBounded) {
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_NO_THROW(parse(nested(64)));
  EXPECT_EQ(expect_error("JSON_DEPTH", [&] { parse(nested(65)); }).message,
            "x.json: nesting must stay within 64 levels");
  expect_error("JSON_DEPTH", [&] { parse(std::string(1'000'000, '[')); });
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  expect_error("JSON_DEPTH", [&] { parse(objects); });
}

TEST(StrictJson, ManyKeysTakeNoQuadraticTime) {
  std::string text = "{\"k\":0";
  for (int i = 0; i < 200'000; ++i) text += ",\"" + std::to_string(i) + "\":1";
  EXPECT_EQ(parse_strict_json(text + "}", "x.json", kManifestJson).size(), 200'001U);
}

TEST(StrictJson, SizeIsCheckedBeforeParsing) {
  const JsonLimits small{.bytes = 10};
  EXPECT_NO_THROW(parse_strict_json("[1,2,3,45]", "x.json", small));
  const ErrorInfo error =
      expect_error("LIMIT_FILE_SIZE", [&] { parse_strict_json("[1,2,3,456]", "x.json", small); });
  EXPECT_EQ(error.message, "x.json: must have at most 10 bytes, found 11");
  const TemporaryFolder folder;
  const std::string path = folder.write("x.json", "[1,2,3,456]");
  expect_error("LIMIT_FILE_SIZE", [&] { read_strict_json(path, small); });
  EXPECT_EQ(read_strict_json(path, kConfigJson).size(), 4U);
  expect_error("IO_READ_ERROR", [&] { read_strict_json(folder / "absent", small); });
}

class Fields : public ::testing::Test {
 protected:
  Json root_ = Json::parse(R"({"n": 3, "big": 9223372036854775808, "half": 1.5, "minus": -2,
      "text": "x", "yes": true, "nothing": null, "zero": 0, "list": [1]})");
  JsonFields fields_{root_, "x.json"};
};

TEST_F(Fields, AbsentAndNullAreTheSame) {
  for (const char* key : {"absent", "nothing"}) {
    EXPECT_EQ(fields_.find(key), nullptr);
    EXPECT_EQ(fields_.integer(key, 0, 1), std::nullopt);
    EXPECT_EQ(fields_.number(key), std::nullopt);
    EXPECT_EQ(fields_.boolean(key), std::nullopt);
    EXPECT_EQ(fields_.string(key), std::nullopt);
  }
}

TEST_F(Fields, ReadTheirTypes) {
  EXPECT_EQ(fields_.integer("n", 1, 3), 3);
  EXPECT_EQ(fields_.integer("minus", -2, 0), -2);
  EXPECT_EQ(fields_.number("n"), 3.0);
  EXPECT_EQ(fields_.positive("half"), 1.5);
  EXPECT_EQ(fields_.boolean("yes"), true);
  EXPECT_EQ(fields_.string("text"), "x");
  EXPECT_EQ((*fields_.find("list"))[0], 1);
}

TEST_F(Fields, RefuseOtherTypesAndRanges) {
  const struct {
    const char* code;
    const char* message;
    std::function<void()> read;
  } cases[] = {
      {"CFG_RANGE", "x.json: \"n\" must be an integer from 4 to 9, found 3",
       [&] { fields_.integer("n", 4, 9); }},
      {"CFG_RANGE", "x.json: \"big\" must be an integer from 0 to 9, found 9223372036854775808",
       [&] { fields_.integer("big", 0, 9); }},
      {"CFG_RANGE", "x.json: \"half\" must be an integer from 0 to 9, found 1.5",
       [&] { fields_.integer("half", 0, 9); }},
      {"CFG_TYPE", "x.json: \"text\" must be an integer from 0 to 9, found \"x\"",
       [&] { fields_.integer("text", 0, 9); }},
      {"CFG_TYPE", "x.json: \"yes\" must be an integer from 0 to 9, found true",
       [&] { fields_.integer("yes", 0, 9); }},
      {"CFG_TYPE", "x.json: \"text\" must be a number, found \"x\"",
       [&] { fields_.number("text"); }},
      {"CFG_RANGE", "x.json: \"zero\" must be above 0, found 0", [&] { fields_.positive("zero"); }},
      {"CFG_RANGE", "x.json: \"minus\" must be above 0, found -2",
       [&] { fields_.positive("minus"); }},
      {"CFG_TYPE", "x.json: \"n\" must be true or false, found 3", [&] { fields_.boolean("n"); }},
      {"CFG_TYPE", "x.json: \"list\" must be a string, found [1]", [&] { fields_.string("list"); }},
  };
  for (const auto& c : cases) EXPECT_EQ(expect_error(c.code, c.read).message, c.message);
}

}  // namespace
}  // namespace regroup::testing
