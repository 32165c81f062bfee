// The sentences of a user's text that needles are hidden in.
#include "regroup/tasks/probe_text.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using Sentences = std::vector<std::string>;

TEST(Sentence, EndsBehindItsMark) {
  const std::pair<const char*, Sentences> cases[] = {
      {"", {}},
      {" \n\t ", {}},
      {"One", {"One"}},
      {"One.\n Two  words! ", {"One.", "Two words!"}},
      {"She said \"No.\" (He left?) [So.] \xE2\x80\x9CYes!\xE2\x80\x9D Then",
       {"She said \"No.\"", "(He left?)", "[So.]", "\xE2\x80\x9CYes!\xE2\x80\x9D", "Then"}},
      {"Fruit, e.g. apples. Version 1.5 is out.", {"Fruit, e.g. apples.", "Version 1.5 is out."}},
      {"Wait\xE2\x80\xA6 What?", {"Wait\xE2\x80\xA6", "What?"}},
      // Two sentences of Chinese, without a space between them.
      {"\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE5\x86\x8D\xE8\xA7\x81\xEF\xBC\x81",
       {"\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82", "\xE5\x86\x8D\xE8\xA7\x81\xEF\xBC\x81"}},
  };
  for (const auto& [text, sentences] : cases) EXPECT_EQ(split_sentences(text), sentences) << text;
}

TEST(Sentence, EndsSomewhereWithoutMarks) {
  std::string words;
  for (int i = 0; i < 130; ++i) words += "word ";
  const Sentences sentences = split_sentences(words);
  ASSERT_EQ(sentences.size(), 3u);  // 60, 60 and 10 words
  EXPECT_EQ(sentences[0].size(), 60 * 5u - 1);
  EXPECT_EQ(sentences[2].size(), 10 * 5u - 1);
  // 2,000 letters of two bytes: cut between letters, and nothing is lost.
  std::string letters;
  for (int i = 0; i < 2000; ++i) letters += "\xC3\xA9";
  std::string joined;
  for (const std::string& sentence : split_sentences(letters)) {
    EXPECT_LE(sentence.size(), 1200u);
    EXPECT_EQ(sentence.size() % 2, 0u);
    joined += sentence;
  }
  EXPECT_EQ(joined, letters);
}

// Eight million letters without a space, as of base64: looking to the end for each word would take minutes.
TEST(Sentence, LongTextsWithoutSpacesTakeNoTime) {
  const std::string letters(8'000'000, 'A');
  size_t size = 0;
  for (const std::string& sentence : split_sentences(letters)) size += sentence.size();
  EXPECT_EQ(size, letters.size());
}

TEST(ProbeTexts, HoldTheSentencesOfAllDocuments) {
  const TemporaryFolder folder;
  const std::string lines = folder.write(
      "two.jsonl", "{\"text\": \"First. Second.\"}\n{\"text\": \"Third without an end\"}\n");
  const ProbeText text = read_probe_text(lines, {});
  EXPECT_EQ(text.name, "two.jsonl");
  EXPECT_EQ(text.sentences, (Sentences{"First.", "Second.", "Third without an end"}));
  const std::string plain = folder.write("plain.txt", "First. Second.|Third without an end");
  DocumentOptions options;
  options.separator = "|";
  EXPECT_EQ(read_probe_text(plain, options).sentences, text.sentences);
  EXPECT_EQ(read_probe_text(plain, options).digest, text.digest);
  EXPECT_NE(read_probe_text(plain, {}).digest, text.digest);
}

TEST(ProbeTexts, StopAtTheirLimit) {
  const TemporaryFolder folder;
  std::string lines;
  const std::string sentence(999, 'x');
  for (int i = 0; i < 9000; ++i) lines += "{\"text\": \"" + sentence + ".\"}\n";
  const ProbeText text = read_probe_text(folder.write("long.jsonl", lines), {});
  EXPECT_EQ(text.sentences.size(), 8389u);  // 8 MiB are 8,388 of 1,000 bytes, and a part of one
}

TEST(ProbeTexts, ThatHoldNoSentenceAreRefused) {
  const TemporaryFolder folder;
  const auto refused = [](const std::string& path, const char* code) {
    return expect_error<Error>(code, [&] { read_probe_text(path, {}); });
  };
  refused(folder.write("blank.txt", " \n \n"), "TEXT_EMPTY");
  refused(folder.write("empty.txt", ""), "TEXT_EMPTY");
  refused(folder.write("text.bin", "One."), "TEXT_KIND");
  const ErrorInfo chat = refused(
      folder.write("chat.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi.\"}]}\n"),
      "TEXT_FIELD");
  EXPECT_TRUE(contains(chat.message, "`probe-text` must hold texts, found a conversation"));
  EXPECT_TRUE(contains(chat.path, "chat.jsonl"));
}

}  // namespace
}  // namespace regroup::testing
