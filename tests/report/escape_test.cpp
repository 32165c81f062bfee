#include "writers/escape.h"

#include <gtest/gtest.h>

namespace regroup {
namespace {

struct Example {
  const char* name;
  std::string text;
  std::string html;
  std::string markdown;
  std::string csv;
};

TEST(Escape, EveryPlaceHasItsOwnRules) {
  const Example examples[] = {
      {"plain", "models/a-b", "models/a-b", "models/a-b", "models/a-b"},
      {"tag", "<b a=\"1\">", "&lt;b a=&quot;1&quot;&gt;", "&lt;b a=\"1\"&gt;",
       "\"<b a=\"\"1\"\">\""},
      {"quote", "it's & so", "it&#39;s &amp; so", "it's &amp; so", "\"it's & so\""},
      {"formula", "=1+2", "=1+2", "=1+2", "\"'=1+2\""},
      {"at", "@me", "@me", "&#64;me", "\"'@me\""},
      {"plus and minus", "+-", "+-", "+-", "\"'+-\""},
      {"table", "a|b`c`", "a|b`c`", "a\\|b\\`c\\`", "a|b`c`"},
      {"link", "[x](http://y)", "[x](http://y)", "\\[x\\](http&#58;//y)", "[x](http://y)"},
      {"bare link", "www.x.org", "www.x.org", "www&#46;x.org", "www.x.org"},
      {"list", "1. x", "1. x", "1\\. x", "\"1. x\""},
      {"rule", "---", "---", "\\---", "\"'---\""},
      {"negative", "-5.0 %", "-5.0 %", "-5.0 %", "\"'-5.0 %\""},
      {"decimal", "1.5 x", "1.5 x", "1.5 x", "\"1.5 x\""},
      {"number", "614,400", "614,400", "614,400", "\"614,400\""},
      {"comma", "a,b", "a,b", "a,b", "\"a,b\""},
      {"newline", "a\nb", "a\\u{a}b", "a\\\\u{a}b", "\"a\nb\""},
      {"return first", "\r=x", "\\u{d}=x", "\\\\u{d}=x", "\"'\\u{d}=x\""},
      {"nul", std::string("a\0b", 3), "a\\u{0}b", "a\\\\u{0}b", "a\\u{0}b"},
      {"escape", "\x1b[31m", "\\u{1b}[31m", "\\\\u{1b}\\[31m", "\\u{1b}[31m"},
      {"C1", "a\xC2\x9B", "a\\u{9b}", "a\\\\u{9b}", "a\\u{9b}"},
      {"bidi", "\xE2\x80\xAEx", "\\u{202e}x", "\\\\u{202e}x", "\\u{202e}x"},
      {"zero width",
       "a\xE2\x80\x8B"
       "b",
       "a\\u{200b}b", "a\\\\u{200b}b", "a\\u{200b}b"},
      {"byte order mark", "a\xEF\xBB\xBF", "a\\u{feff}", "a\\\\u{feff}", "a\\u{feff}"},
      {"soft hyphen", "a\xC2\xAD", "a\\u{ad}", "a\\\\u{ad}", "a\\u{ad}"},
      {"invalid",
       "a\xFF"
       "b",
       "a\xEF\xBF\xBD"
       "b",
       "a\xEF\xBF\xBD"
       "b",
       "a\xEF\xBF\xBD"
       "b"},
      {"torn character", "a\xE2\x82", "a\xEF\xBF\xBD\xEF\xBF\xBD", "a\xEF\xBF\xBD\xEF\xBF\xBD",
       "a\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"emoji", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
      {"empty", "", "", "", ""},
  };
  for (const Example& e : examples) {
    SCOPED_TRACE(e.name);
    EXPECT_EQ(escape_html(e.text), e.html);
    EXPECT_EQ(escape_markdown(e.text), e.markdown);
    EXPECT_EQ(escape_csv(e.text), e.csv);
  }
}

TEST(Escape, PreformattedTextKeepsItsLines) {
  EXPECT_EQ(escape_html("a\n\tb\r", Lines::kKeep), "a\n\tb\\u{d}");
}

TEST(Escape, ACellIsCutAtACharacterAndSaysSo) {
  // 19,999 bytes, then a character of two: it begins below the limit of 20,000 and stays whole.
  const std::string text = std::string(19'999, 'a') + "\xC3\xA9" + std::string(500, 'b');
  const std::string cut = std::string(19'999, 'a') + "\xC3\xA9 ... 500 bytes cut";
  EXPECT_EQ(escape_html(text), cut);
  EXPECT_EQ(escape_html(std::string(20'000, 'a')), std::string(20'000, 'a'));
}

TEST(Escape, AFenceIsLongerThanWhatItHolds) {
  EXPECT_EQ(markdown_code_block("x"), "```text\nx\n```\n");
  EXPECT_EQ(markdown_code_block("a\n````\n<b>\n"), "`````text\na\n````\n<b>\n`````\n");
}

TEST(Escape, ShortenCountsCharacters) {
  EXPECT_EQ(shorten("\xC3\xA9\xC3\xA9\xC3\xA9", 2), "\xC3\xA9\xC3\xA9\xE2\x80\xA6");
  EXPECT_EQ(shorten("abc", 3), "abc");
  EXPECT_EQ(count_characters("a\xC3\xA9\xFF"), 3u);
}

}  // namespace
}  // namespace regroup
