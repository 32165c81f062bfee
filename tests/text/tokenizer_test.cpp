// Ids against published vectors and against Python's sentencepiece. The real tokenizers lie in
// ../shared, the folder that developers and CI have beside the project.
#include "regroup/text/tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "regroup/base/notice.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;
const std::string kShared = "../shared/tokenizers";

/// Tests that need the real tokenizers.
class RealTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kShared + "/llama/tokenizer.model")) {
      GTEST_SKIP() << "no " << kShared << ": the real tokenizers are not beside this clone";
    }
  }
};

/// A folder with Llama's tokenizer.model and the given tokenizer_config.json ("": none).
class LlamaFolder {
 public:
  explicit LlamaFolder(const std::string& config = "") {
    std::filesystem::copy(kShared + "/llama/tokenizer.model", folder_ / "tokenizer.model");
    if (!config.empty()) folder_.write("tokenizer_config.json", config);
  }
  Tokenizer open() const { return Tokenizer::open(folder_.path()); }
  std::string path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

/// The texts of a .inp file: pieces between lines "__ggml_vocab_test__".
std::vector<std::string> vector_texts(const std::string& path) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string all = read_file(path);
  std::vector<std::string> texts;
  size_t start = 0;
  for (size_t stop; (stop = all.find(separator, start)) != std::string::npos;
       start = stop + separator.size()) {
    texts.push_back(all.substr(start, stop - start));
  }
  return texts;
}

std::vector<Ids> vector_ids(const std::string& path) {
  std::vector<Ids> lines;
  std::istringstream in(read_file(path));
  for (std::string line; std::getline(in, line);) {
    std::istringstream numbers(line);
    Ids ids;
    for (int32_t id; numbers >> id;) ids.push_back(id);
    lines.push_back(ids);
  }
  return lines;
}

TEST_F(RealTokenizer, AgreesWithThePublishedVectors) {
  const Tokenizer tokenizer = LlamaFolder().open();
  const auto texts = vector_texts(kShared + "/vectors/llama-spm.inp");
  const auto expected = vector_ids(kShared + "/vectors/llama-spm.out");
  ASSERT_EQ(texts.size(), expected.size());
  ASSERT_EQ(texts.size(), 46U);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i], false, false), expected[i])
        << "text " << i << ": " << texts[i];
  }
}

TEST_F(RealTokenizer, KnowsItself) {
  const Tokenizer tokenizer = LlamaFolder().open();
  EXPECT_EQ(tokenizer.vocab_size(), 32'000);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  // Published by `sha256sum tokenizer.model` for Llama 1 and 2.
  EXPECT_EQ(tokenizer.digest(), "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347");
}

TEST_F(RealTokenizer, SpecialTokenStringsStayText) {
  std::vector<std::string> told;
  set_notice_handler([&](const std::string& text) { told.push_back(text); });
  LlamaFolder().open().encode("a<s> b</s>");
  set_notice_handler({});
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(contains(told[0], "a text holds \"<s>\", the text of a special token"));
  expect_error<UnsupportedError>("TOK_UNSUPPORTED",
                                 [] { LlamaFolder().open().parse_special_tokens(); });
  const Tokenizer tokenizer = LlamaFolder().open();
  for (const char* text : {"<s>", "</s>", "a<s>b</s>", "<unk>", "<s><s>"}) {
    const Ids ids = tokenizer.encode(text, false, false);
    for (const int32_t id : ids) EXPECT_GT(id, 2) << text;  // 0, 1 and 2 are <unk>, <s> and </s>
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

struct BosRule {
  const char* config;
  bool bos;
  bool eos;
};

TEST_F(RealTokenizer, AddsWhatItsConfigSays) {
  const BosRule rules[] = {
      {"", true, false},  // without the file: as Llama does
      {"{}", true, false},
      {R"({"add_bos_token": true, "add_eos_token": false})", true, false},
      {R"({"add_bos_token": false})", false, false},
      {R"({"add_bos_token": null, "add_eos_token": true})", true, true},
      {R"({"add_bos_token": false, "add_eos_token": true})", false, true},
  };
  for (const BosRule& rule : rules) {
    SCOPED_TRACE(rule.config);
    const Tokenizer tokenizer = LlamaFolder(rule.config).open();
    EXPECT_EQ(tokenizer.adds_bos(), rule.bos);
    EXPECT_EQ(tokenizer.adds_eos(), rule.eos);
    Ids expected = {15043, 3186};  // "Hello world", from the vectors
    if (rule.bos) expected.insert(expected.begin(), 1);
    if (rule.eos) expected.push_back(2);
    EXPECT_EQ(tokenizer.encode("Hello world"), expected);
    EXPECT_EQ(tokenizer.encode("Hello world", false, false), (Ids{15043, 3186}));
    EXPECT_EQ(tokenizer.encode("Hello world", true, true), (Ids{1, 15043, 3186, 2}));
  }
  EXPECT_EQ(LlamaFolder().open().encode(""), Ids{1});
}

TEST_F(RealTokenizer, DecodesWhatItEncodes) {
  const Tokenizer tokenizer = LlamaFolder().open();
  for (const char* text :
       {"Hello world", "  two  spaces ", "tabs\tand\nlines\n\n", "模型 \xF0\x9F\x98\x80 é", "x"}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
  EXPECT_EQ(tokenizer.decode({32'000}), "") << "rows that pad the embedding";
  expect_error("TOK_ID_RANGE", [&] { tokenizer.decode({-1}); });
}

// The bytes of a prefix: none for BOS, all for everything, never fewer for more ids, and the ids of
// a prefix decode to as much text (where the cut is not inside a character).
TEST_F(RealTokenizer, PrefixBytesGrowFromNothingToTheText) {
  for (const char* config : {"", R"({"add_bos_token": false})", R"({"add_eos_token": true})"}) {
    SCOPED_TRACE(config);
    const Tokenizer tokenizer = LlamaFolder(config).open();
    for (const std::string text : {"Hello world, this is text.", "  spaces   \n\n and lines\n",
                                   "模型 \xF0\x9F\x98\x80\xF0\x9F\xA6\x84 é", "<s>x</s>"}) {
      SCOPED_TRACE(text);
      const Ids ids = tokenizer.encode(text);
      const size_t n_bos = tokenizer.adds_bos() ? 1 : 0;
      EXPECT_EQ(tokenizer.prefix_bytes(text, 0), 0);
      EXPECT_EQ(tokenizer.prefix_bytes(text, n_bos), 0);
      EXPECT_EQ(tokenizer.prefix_bytes(text, ids.size()), static_cast<int64_t>(text.size()));
      EXPECT_EQ(tokenizer.prefix_bytes(text, ids.size() + 5), static_cast<int64_t>(text.size()));
      int64_t before = 0;
      for (size_t n = 1; n <= ids.size(); ++n) {
        const int64_t bytes = tokenizer.prefix_bytes(text, n);
        EXPECT_GE(bytes, before);
        before = bytes;
        const std::string decoded =
            tokenizer.decode({ids.begin(), ids.begin() + static_cast<long>(n)});
        if (decoded.find("\xEF\xBF\xBD") == std::string::npos) {
          EXPECT_EQ(decoded, text.substr(0, static_cast<size_t>(bytes))) << n << " ids";
        }
      }
    }
  }
}

TEST_F(RealTokenizer, PrefixBytesByHand) {
  const Tokenizer tokenizer = LlamaFolder().open();  // <s> "▁Hello" "▁world"
  EXPECT_EQ(tokenizer.prefix_bytes("Hello world", 1), 0);
  EXPECT_EQ(tokenizer.prefix_bytes("Hello world", 2), 5);
  EXPECT_EQ(tokenizer.prefix_bytes("Hello world", 3), 11);
}

TEST(TokenizerFolder, MissingOrBroken) {
  const TemporaryFolder folder;
  EXPECT_EQ(expect_error("TOK_MISSING", [&] { Tokenizer::open(folder.path()); }).message,
            folder.path() + ": must hold tokenizer.json or tokenizer.model to read text");
  folder.write("tekken.json", "{}");
  expect_error<UnsupportedError>("TOK_UNSUPPORTED", [&] { Tokenizer::open(folder.path()); });
  for (const std::string& bytes :
       {std::string(), std::string("x"), std::string("\x0A\xFF\xFF\xFF\xFF\x0F"),
        std::string(4096, '\0'), std::string("version https://git-lfs.github.com/spec/v1\n")}) {
    folder.write("tokenizer.model", bytes);
    expect_error("TOK_PROTO", [&] { Tokenizer::open(folder.path()); });
  }
}

TEST_F(RealTokenizer, ATruncatedModelIsRefused) {
  const std::string whole = read_file(kShared + "/tok512/tokenizer.model");
  const TemporaryFolder folder;
  for (size_t size = whole.size() - 1; size > 0; size = size * 9 / 10) {
    folder.write("tokenizer.model", whole.substr(0, size));
    try {  // a cut between two messages leaves a shorter list of pieces, which is a model
      const Tokenizer tokenizer = Tokenizer::open(folder.path());
      EXPECT_GE(tokenizer.vocab_size(), 1);
    } catch (const CheckpointError& error) {
      EXPECT_EQ(error.info().code, "TOK_PROTO");
    }
  }
}

TEST_F(RealTokenizer, ConfigErrorsNameTheFile) {
  expect_error("JSON_SYNTAX", [] { LlamaFolder("{").open(); });
  expect_error("CFG_NOT_OBJECT", [] { LlamaFolder("[]").open(); });
  const LlamaFolder folder(R"({"add_bos_token": 1})");
  EXPECT_EQ(
      expect_error("CFG_TYPE", [&] { folder.open(); }).message,
      folder.path() + "/tokenizer_config.json: \"add_bos_token\" must be true or false, found 1");
}

TEST_F(RealTokenizer, VocabularyMustFitTheEmbedding) {
  Tokenizer tokenizer = LlamaFolder().open();
  EXPECT_NO_THROW(require_vocabulary(tokenizer, 32'000, "x"));
  EXPECT_NO_THROW(require_vocabulary(tokenizer, 32'064, "x"));  // rows padded for speed
  EXPECT_EQ(expect_error("TOK_VOCAB_MISMATCH",
                         [&] { require_vocabulary(tokenizer, 31'999, "config.json"); })
                .message,
            "config.json: the tokenizer has 32000 pieces, the model only 31999 embedding rows");
}

/// A Python with sentencepiece: $REGROUP_ORACLE_PYTHON, or the one in .deps; "" when there is none.
std::string oracle_python() {
  const char* given = std::getenv("REGROUP_ORACLE_PYTHON");
  const std::string python = given != nullptr ? given : ".deps/oracles/bin/python";
  const bool works = std::system((python + " -c 'import sentencepiece' 2>/dev/null").c_str()) == 0;
  return works ? python : "";
}

TEST_F(RealTokenizer, PythonsSentencepieceGivesTheSameIds) {
  const std::string python = oracle_python();
  if (python.empty()) GTEST_SKIP() << "no Python with sentencepiece; set REGROUP_ORACLE_PYTHON";
  const std::string text_path = "../shared/data/text/wikitext2-raw-test.txt";
  if (!path_exists(text_path)) GTEST_SKIP() << "no " << text_path;
  const std::string text = read_file(text_path);
  const TemporaryFolder folder;
  const std::string out = folder / "ids";
  const std::string script =
      "import sentencepiece as s, sys, array; p = "
      "s.SentencePieceProcessor(model_file=sys.argv[1]); "
      "array.array('i', p.encode(open(sys.argv[2], encoding='utf-8', "
      "newline='').read())).tofile(open(sys.argv[3], 'wb'))";
  for (const char* name : {"llama", "tok512"}) {
    SCOPED_TRACE(name);
    const std::string model = kShared + "/" + name;
    ASSERT_EQ(std::system(fmt::format("{} -c \"{}\" {}/tokenizer.model {} {}", python, script,
                                      model, text_path, out)
                              .c_str()),
              0);
    const std::string bytes = read_file(out);
    Ids expected(bytes.size() / sizeof(int32_t));
    std::memcpy(expected.data(), bytes.data(), bytes.size());
    const Ids found = Tokenizer::open(model).encode(text, false, false);
    ASSERT_EQ(found.size(), expected.size());
    EXPECT_TRUE(found == expected);
  }
}

}  // namespace
}  // namespace regroup::testing
