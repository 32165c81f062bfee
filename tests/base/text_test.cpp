// Text for people: nothing hidden reaches a terminal, sizes read well.
#include <gtest/gtest.h>

#include "regroup/base/human_measure.h"
#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "regroup/base/words.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;

TEST(HumanRate, HasNoExponent) {
  EXPECT_EQ(human_rate(0.12345), "0.1235");
  EXPECT_EQ(human_rate(999.94), "999.9");
  EXPECT_EQ(human_rate(10'130.4), "10130");
}

TEST(Printable, KeepsWhatCanBeSeen) {
  for (const char* text : {"", "plain", "模型.weight", "é ü \xF0\x9F\x98\x80", "a\"b\\c"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, EscapesTheRest) {
  EXPECT_EQ(printable("\x1B[2J"), "\\u{1b}[2J");  // clears a terminal
  EXPECT_EQ(printable("a\nb\tc\0d"s), "a\\u{a}b\\u{9}c\\u{0}d");
  EXPECT_EQ(printable("a\x7F"), "a\\u{7f}");
  EXPECT_EQ(printable("\xC2\x9B"), "\\u{9b}");        // C1: one-byte ESC [
  EXPECT_EQ(printable("\xE2\x80\xAE"), "\\u{202e}");  // right to left
  EXPECT_EQ(printable("a\u061Cb\u00AD\u180E\u115F"), "a\\u{61c}b\\u{ad}\\u{180e}\\u{115f}");
  EXPECT_EQ(printable("\U000E0041\U000E007F"), "\\u{e0041}\\u{e007f}");  // tags
  EXPECT_EQ(printable("é \u2764\uFE0F \U0001F600 \u0301"), "é \u2764\uFE0F \U0001F600 \u0301");
  EXPECT_EQ(printable("\xE2\x80\x8B|\xE2\x81\xA6|\xEF\xBB\xBF"), "\\u{200b}|\\u{2066}|\\u{feff}");
  EXPECT_EQ(printable("\xFF"
                      "a\xC3"),
            "\\xffa\\xc3");  // invalid UTF-8
}

TEST(Printable, CutsLongText) {
  EXPECT_EQ(printable(std::string(200, 'x')), std::string(200, 'x'));
  EXPECT_EQ(printable(std::string(201, 'x')), std::string(200, 'x') + "... (201 bytes)");
  EXPECT_EQ(printable("abcdef", 3), "abc... (6 bytes)");
  EXPECT_EQ(printable("模型", 1), "模... (6 bytes)");  // no half character
}

TEST(Utf8, WellFormed) {
  for (const char* text : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(is_utf8(text)) << printable(text);
  }
  EXPECT_TRUE(is_utf8("a\0b"s));
}

TEST(Utf8, Malformed) {
  const struct {
    const char* why;
    std::string text;
  } cases[] = {
      {"continuation alone", "\x80"},
      {"overlong 2", "\xC0\x80"},
      {"overlong 2, last", "\xC1\xBF"},
      {"overlong 3", "\xE0\x9F\xBF"},
      {"overlong 4", "\xF0\x8F\xBF\xBF"},
      {"first surrogate", "\xED\xA0\x80"},
      {"last surrogate", "\xED\xBF\xBF"},
      {"above U+10FFFF", "\xF4\x90\x80\x80"},
      {"lead F5", "\xF5\x80\x80\x80"},
      {"0xFF", "\xFF"},
      {"cut 2", "\xC2"},
      {"cut 3", "\xE2\x82"},
      {"cut 4", "\xF0\x9F\x98"},
      {"no continuation",
       "\xC2"
       "a"},
      {"good, then bad", "abc\xC0"},
  };
  for (const auto& c : cases) EXPECT_FALSE(is_utf8(c.text)) << c.why;
}

TEST(Nearest, FindsTypos) {
  const std::vector<std::string> flags = {"--kv-heads", "--method", "--grouping", "--dtype"};
  EXPECT_EQ(nearest("--kv-head", flags), "--kv-heads");
  EXPECT_EQ(nearest("--metod", flags), "--method");
  EXPECT_EQ(nearest("--dytpe", flags), "--dtype");
  EXPECT_EQ(nearest("xyzxyzxyzxyzxyz", flags), "");
  EXPECT_EQ(nearest("a", {}), "");
  // A short flag is not near to everything that begins with two dashes.
  const std::vector<std::string> short_ones = {"--lr", "--seed", "--version", "--eval-every"};
  EXPECT_EQ(nearest("--evry", short_ones), "");
  EXPECT_EQ(nearest("--l", short_ones), "--lr");
  EXPECT_EQ(nearest("-version", short_ones), "--version");
  EXPECT_EQ(nearest("-v", short_ones), "");
}

TEST(Human, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1 KiB");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(524'288), "512 KiB");
  EXPECT_EQ(human_bytes(13'476'831'232), "12.55 GiB");  // / 2^30 = 12.5513
  EXPECT_EQ(human_bytes(-2048), "-2 KiB");
  EXPECT_EQ(human_bytes(INT64_MAX), "8 EiB");
}

TEST(Human, Counts) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(9999), "9999");
  EXPECT_EQ(human_count(12'345), "12.3 k");
  EXPECT_EQ(human_count(1'234'567), "1.23 M");
  EXPECT_EQ(human_count(6'738'415'616), "6.74 B");
  EXPECT_EQ(human_count(2e12), "2 T");
}

TEST(Human, Seconds) {
  EXPECT_EQ(human_seconds(0), "0 s");
  EXPECT_EQ(human_seconds(0.49999999999999994), "0 s");  // and a half is 1 in float64
  EXPECT_EQ(human_seconds(0.5), "1 s");
  EXPECT_EQ(human_seconds(59.4), "59 s");
  EXPECT_EQ(human_seconds(59.6), "1 min 00 s");
  EXPECT_EQ(human_seconds(3599), "59 min 59 s");
  EXPECT_EQ(human_seconds(3725), "1 h 02 min");
  EXPECT_EQ(human_seconds(-1), "?");
}

TEST(Join, PutsTheSeparatorBetween) {
  EXPECT_EQ(join({}, ", "), "");
  EXPECT_EQ(join({"a"}, ", "), "a");
  EXPECT_EQ(join({"a", "", "c"}, ", "), "a, , c");
}

}  // namespace
}  // namespace regroup::testing
