// Texts and tokens that are wrong, and runs that do not fit what they are to go on with.
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

const Words kCpu = {"--device", "cpu", "--threads", "1"};

Words uptrain(const std::string& data) {
  return with({"uptrain", "MODEL", "OUT", "--data", data, "--steps", "1", "--seq-len", "64"}, kCpu);
}
Words eval(const std::string& data, const char* flag = "--text") {
  return with({"eval", "MODEL", flag, data}, kCpu);
}
Words tokenize(const std::string& data) { return {"tokenize", "MODEL", data, "--out", "OUT"}; }

/// A model of 512 ids with its tokenizer, and a file.
std::function<void(const Workplace&)> text_in(const char* name, const std::string& bytes) {
  return [=](const Workplace& w) {
    write_tiny_model(w.model, {.n_layers = 1, .n_heads = 8, .head_dim = 4, .vocab_size = 512});
    fs::copy_file(kTokenizer, w.model + "/tokenizer.model");
    w.folder.write(name, bytes);
  };
}

void write_tokens(const Workplace& w, const std::string& name, const std::vector<int32_t>& ids) {
  TokenFileWriter writer(w.folder / name, 1000);
  writer.add(ids);
  writer.finish();
}

class BadText : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  }
};

TEST_F(BadText, EmptyOrBinary) {
  struct Text {
    const char* why;
    const char* file;
    std::string bytes;
    const char* code;
    Words words;
  };
  const Text texts[] = {
      {"empty", "a.txt", "", "TEXT_EMPTY", {"@a.txt", "must hold some text, found none"}},
      {"blank", "a.txt", " \n\t", "TEXT_EMPTY", {"@a.txt", "must hold some text, found none"}},
      {"NUL bytes",
       "a.txt",
       std::string("ab\0c", 4),
       "TEXT_BINARY",
       {"@a.txt", "must be text, found a NUL byte at byte 2", ".bin"}},
      {"not UTF-8",
       "a.txt",
       "ab\xff\xfe",
       "TEXT_UTF8",
       {"@a.txt", "must be UTF-8", "byte 2", "iconv"}},
      {"no JSON",
       "a.jsonl",
       "{\"text\": \"a\"}\n{\"text\":\n",
       "JSON_SYNTAX",
       {"@a.jsonl", "line 2"}},
      {"another key",
       "a.jsonl",
       "{\"body\": \"a\"}\n",
       "TEXT_FIELD",
       {"@a.jsonl", "line 1", "string \"text\"", "--field"}},
      {"absent", "b.txt", "b", "IO_READ_ERROR", {"@a.txt", "cannot be read: No such file"}},
  };
  for (const Text& t : texts) {
    const std::string path = std::string(t.file) == "b.txt" ? "@a.txt" : "@" + std::string(t.file);
    const auto prepare = text_in(t.file, t.bytes);
    check_all({{t.why, prepare, uptrain(path), 3, t.code, t.words},
               {t.why, prepare, eval(path), 3, t.code, t.words},
               {t.why, prepare, tokenize(path), 3, t.code, t.words}});
  }
}

TEST_F(BadText, TooShort) {
  const auto brief = text_in("a.txt", "Once.");
  const auto one_id = [](const Workplace& w) { write_tokens(w, "a.bin", {1}); };
  check_all({
      {"shorter than a window",
       brief,
       uptrain("@a.txt"),
       3,
       "TEXT_TOO_SHORT",
       {"a.txt", "at least one window of --seq-len + 1 = 65 tokens, found ", "--seq-len"}},
      {"nothing to predict",
       one_id,
       eval("@a.bin", "--tokens"),
       3,
       "TEXT_TOO_SHORT",
       {"@a.bin", "at least 2 tokens", "found 1"}},
      {"too short to validate",
       [=](const Workplace& w) {
         one_id(w);
         write_tokens(w, "train.bin", std::vector<int32_t>(100, 1));
       },
       with(uptrain("@train.bin"), {"--valid", "@a.bin"}),
       3,
       "TEXT_TOO_SHORT",
       {"@a.bin"}},
  });
}

TEST_F(BadText, Tokens) {
  const auto beyond = [](const Workplace& w) {
    std::vector<int32_t> ids(200, 1);
    ids[150] = 64;
    write_tokens(w, "a.bin", ids);
  };
  const auto cut = [](const Workplace& w) {
    write_tokens(w, "a.bin", std::vector<int32_t>(200, 1));
    fs::resize_file(w.folder / "a.bin", 1024 + 2 * 100);
  };
  const auto none = [](const Workplace& w) { write_tokens(w, "a.bin", {}); };
  const auto foreign = [](const Workplace& w) { w.folder.write("a.bin", "no tokens at all"); };
  const Words outside = {"@a.bin", "below the vocabulary of 64, found 64 at index 150",
                         "tokenizer"};
  const Words shorter = {"@a.bin", "declares 200 ids, the file holds 100", "incomplete"};
  const Words alien = {"@a.bin", "must be a token file with an llm.c header", "nanogpt"};
  check_all({
      {"an id beyond", beyond, uptrain("@a.bin"), 3, "TOKENS_RANGE", outside},
      {"an id beyond", beyond, eval("@a.bin", "--tokens"), 3, "TOKENS_RANGE", outside},
      {"cut", cut, uptrain("@a.bin"), 3, "TOKENS_TRUNCATED", shorter},
      {"cut", cut, eval("@a.bin", "--tokens"), 3, "TOKENS_TRUNCATED", shorter},
      {"empty", none, uptrain("@a.bin"), 3, "TOKENS_EMPTY", {"@a.bin", "found none"}},
      {"foreign", foreign, uptrain("@a.bin"), 3, "TOKENS_FORMAT", alien},
      {"foreign", foreign, eval("@a.bin", "--tokens"), 3, "TOKENS_FORMAT", alien},
      {"no text to limit",
       {},
       with(uptrain("@train.bin"), {"--valid-tokens", "40"}),
       2,
       "FLAG_MISSING",
       {"--valid-tokens limits the text of --valid"}},
      {"neither", {}, {"eval", "MODEL"}, 2, "FLAG_MISSING", {"give --text, --tokens"}},
  });
}

TEST_F(BadText, Tokenizers) {
  const auto text = [](const Workplace& w) { w.folder.write("a.txt", "Once upon a time."); };
  check_all({
      {"none",
       text,
       uptrain("@a.txt"),
       3,
       "TOK_MISSING",
       {"MODEL", "tokenizer.model", "token files"}},
      {"none", text, eval("@a.txt"), 3, "TOK_MISSING", {"MODEL", "tokenizer.model"}},
      {"of a larger vocabulary",
       [=](const Workplace& w) {
         text(w);
         fs::copy_file(kTokenizer, w.model + "/tokenizer.model");
       },
       tokenize("@a.txt"),
       3,
       "TOK_VOCAB_MISMATCH",
       {"MODEL", "has 512 pieces, the model only 64", "another model"}},
      {"damaged",
       [](const Workplace& w) {
         text_in("a.txt", "Once.")(w);
         fs::resize_file(w.model + "/tokenizer.model", 100);
       },
       tokenize("@a.txt"),
       3,
       "TOK_PROTO",
       {"tokenizer.model", "SentencePiece"}},
      {"only tokenizer.json",
       [=](const Workplace& w) {
         text(w);
         w.folder.write("model/tokenizer.json", "{}");
       },
       eval("@a.txt"),
       3,
       "TOK_PART",
       {"model/tokenizer.json", "must hold an object \"model\"", "fetch it again"}},
      {"a tokenizer.json of another kind",
       [=](const Workplace& w) {
         text(w);
         w.folder.write("model/tokenizer.json", R"({"model": {"type": "WordPiece"}})");
       },
       eval("@a.txt"),
       4,
       "TOK_UNSUPPORTED",
       {"model/tokenizer.json", "WordPiece", "token file"}},
  });
}

TEST(OtherSettings, OfAnUptrainingAreNamed) {
  const Workplace w;
  write_tokens(w, "a.bin", std::vector<int32_t>(200, 1));
  const auto run = [&](const Words& more) {
    return with({"uptrain", w.model, w.out, "--data", w.folder / "a.bin", "--steps", "5",
                 "--seq-len", "16", "--batch-size", "2", "--quiet"},
                with(kCpu, more));
  };
  ASSERT_EQ(regroup(run({"--lr", "0.001", "--max-minutes", "1e-7"})).exit_code, 75);
  const Json error = mistake(w, run({"--lr", "0.002", "--warmup", "1"}), 2, "CKPT_MISMATCH");
  EXPECT_TRUE(contains(text(error, "message"), "lr (was 0.001, now 0.002)"));
  EXPECT_TRUE(contains(text(error, "message"), "warmup (was 0, now 1)"));
  EXPECT_TRUE(contains(text(error, "path"), w.out));
  EXPECT_TRUE(contains(text(error, "hint"), "repeat the earlier command"));
}

}  // namespace
}  // namespace regroup::testing
