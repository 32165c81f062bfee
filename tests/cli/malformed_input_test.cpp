// Bad files as the program meets them, by the numbers of the reference's list: an exit code and an
// error object, no signal, no memory to speak of, and nothing left behind.
#include <sys/resource.h>

#include <filesystem>

#include "cli/cli_tools.h"
#include "support/tiny_tokenizer.h"
#include "support/tiny_tokenizer_json.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMebibyte = 1 << 20;

/// Everything in the working folder, with a text and a tokenizer.json of 6 tokens.
std::function<void(const Workplace&)> file(const char* name, const std::string& bytes) {
  return [=](const Workplace& w) {
    w.folder.write("a.txt", "ab ab");
    w.folder.write("model/tokenizer.json", tiny_tokenizer_json().dump());
    w.folder.write(name, bytes);
  };
}

/// The same with tokenizer.model alone.
std::function<void(const Workplace&)> only_model(const std::string& bytes) {
  return [=](const Workplace& w) {
    w.folder.write("a.txt", "ab ab");
    w.folder.write("model/tokenizer.model", bytes);
  };
}

std::function<void(const Workplace&)> config(const char* key, const Json& value) {
  return [=](const Workplace& w) {
    Json root = Json::parse(read_file(w.model + "/config.json"));
    root[key] = value;
    w.folder.write("model/config.json", root.dump());
  };
}

const Words kTokenize = {"tokenize", "MODEL", "@a.txt", "--out", "OUT"};
const Words kJsonl = {"tokenize", "MODEL", "@a.jsonl", "--out", "OUT"};

TEST(MalformedInput, Configs) {
  const Words plan = {"plan", "MODEL", "--gpu-memory", "1GiB", "--context", "64"};
  std::vector<BadInput> cases;
  for (const Words& command : {kConvert, plan}) {
    const std::vector<BadInput> both = {
        {"C03",
         file("model/config.json", std::string(kMebibyte, '[')),
         command,
         3,
         "JSON_DEPTH",
         {"@model/config.json", "64 levels"}},
        {"C05",
         config("num_hidden_layers", 1'000'000'000),
         command,
         3,
         "CFG_RANGE",
         {"num_hidden_layers", "found 1000000000"}},
        {"C13",
         config("architectures", std::vector<int>(1'000'000)),
         command,
         4,
         "CFG_UNSUPPORTED",
         {"architectures must be", "(2000001 bytes)"}},
        {"C09",
         config("vocab_size", int64_t{1} << 31),
         command,
         3,
         "CFG_RANGE",
         {"vocab_size", "found 2147483648"}},
        {"C11",
         config("rope_scaling", {{"type", "linear"}, {"factor", 1e-320}}),
         command,
         3,
         "CFG_RANGE",
         {"finite angles"}},
    };
    cases.insert(cases.end(), both.begin(), both.end());
  }
  check_all(cases);
}

/// A model of SentencePiece with one more field.
std::string model_with(const std::string& field) {
  return tiny_sentencepiece({"\u2581ab", "\u2581", "a", "b"}) + field;
}

TEST(MalformedInput, Tokenizers) {
  OrderedJson merges = tiny_tokenizer_json();
  merges["model"]["merges"].push_back({"b", "a"});
  const std::string wild =
      std::string("\0\4\0\0", 4) + std::string(1024, '\x7F') + std::string(2, '\0');
  check_all({
      {"TK01", file("model/tokenizer.json", ""), kTokenize, 3, "JSON_SYNTAX", {"tokenizer.json"}},
      {"TK07",
       file("model/tokenizer.json", merges.dump()),
       kTokenize,
       3,
       "TOK_MERGE",
       {"tokenizer.json", "merge 2"}},
      {"TK12",
       only_model(model_with(proto_bytes(1, proto_bytes(1, std::string(4 * kMebibyte, 'a'))))),
       kTokenize,
       3,
       "TOK_TOKEN_LENGTH",
       {"tokenizer.model", "65536", "4194304"}},
      {"TK17",
       only_model(model_with(proto_bytes(3, proto_bytes(2, wild)))),
       kTokenize,
       3,
       "TOK_CHARSMAP",
       {"tokenizer.model", "within itself"}},
      {"TK18",
       only_model(std::string(100'000, '\x0B')),
       kTokenize,
       3,
       "TOK_PROTO",
       {"tokenizer.model"}},
      {"C21",
       file("model/tokenizer_config.json", "{\"add_bos_token\": \"\\u001b[2J\"}"),
       kTokenize,
       3,
       "CFG_TYPE",
       {"tokenizer_config.json", "\\u001b[2J"}},
  });
}

TEST(MalformedInput, Records) {
  check_all({
      {"Q01", file("a.jsonl", "\n\n"), kJsonl, 3, "TEXT_EMPTY", {"@a.jsonl"}},
      {"Q02",
       [](const Workplace& w) {
         file("a.jsonl", "{\"text\":\"")(w);
         fs::resize_file(w.folder / "a.jsonl", 17 * kMebibyte);
       },
       kJsonl,
       3,
       "JSONL_LINE_LIMIT",
       {"@a.jsonl", "line 1"}},
      {"Q03",
       file("a.jsonl", "{\"text\":\"a\"}\n{\"text\":\"\xFF\"}\n"),
       kJsonl,
       3,
       "TEXT_UTF8",
       {"@a.jsonl", "line 2", "iconv"}},
      {"Q04",
       file("a.jsonl", "{\"text\":\"a\"}\n{\"tex"),
       kJsonl,
       3,
       "JSON_SYNTAX",
       {"@a.jsonl", "line 2"}},
      {"Q05",
       file("a.jsonl", "{\"text\":\"a\"}\n{\"text\":7}\n"),
       kJsonl,
       3,
       "TEXT_FIELD",
       {"@a.jsonl", "line 2", "--field"}},
  });
}

TEST(MalformedInput, Recipes) {
  const Words command = {"--recipe", "@r.toml", "plan", "MODEL"};
  const auto recipe = [](const std::string& text) { return file("r.toml", text); };
  check_all({
      {"Y04", recipe("x = " + std::string(100'000, '[')), command, 2, "RECIPE_SYNTAX", {"@r.toml"}},
      {"Y05",
       recipe("[plan]\nbatch = 1\nbatch = 2\n"),
       command,
       2,
       "RECIPE_DUPLICATE",
       {"@r.toml", "line 3, column 1"}},
      {"Y06 no", recipe("[convert]\noverwrite = no\n"), command, 2, "RECIPE_SYNTAX", {"line 2"}},
      {"Y06 a word",
       recipe("[convert]\noverwrite = \"on off\"\n"),
       command,
       2,
       "FLAG_VALUE",
       {"line 2", "--overwrite must be true or false"}},
      {"Y06 1e3",
       recipe("[plan]\nkv-heads = 1e3\n"),
       command,
       2,
       "FLAG_VALUE",
       {"--kv-heads must be a whole number", "found 1e3"}},
      {"Y06 inf",
       recipe("[uptrain]\nlr = inf\n"),
       command,
       2,
       "FLAG_VALUE",
       {"--lr must be a number from"}},
      {"Y07",
       recipe("[uptrain]\nlearnin-rate = 1\n"),
       command,
       2,
       "RECIPE_UNKNOWN_KEY",
       {"line 2, column 1: unknown key uptrain.learnin-rate"}},
  });
}

TEST(MalformedInput, Outputs) {
  const auto convert_to = [](const char* out) {
    return Words{"convert", "MODEL", out, "--kv-heads", "2"};
  };
  const auto links = [](const Workplace& w) {
    fs::create_directory_symlink(w.model, w.folder / "link");
    fs::create_symlink("nowhere", w.folder / "dangling");
    fs::create_directory(w.folder / "empty");
  };
  const Words inside = {"must lie outside the input"};
  check_all({
      {"A01 by a link", links, convert_to("@link"), 2, "OUTPUT_IS_INPUT", inside},
      {"A01 in a link", links, convert_to("@link/out"), 2, "OUTPUT_IS_INPUT", inside},
      {"A01 by dots", links, convert_to("@empty/../model"), 2, "OUTPUT_IS_INPUT", inside},
      {"A02 an empty folder", links, convert_to("@empty"), 2, "OUTPUT_EXISTS", {"@empty"}},
      {"A02 a dangling link", links, convert_to("@dangling"), 2, "OUTPUT_EXISTS", {"@dangling"}},
  });
}

// Runs last: the largest of all programs that this file started.
TEST(MalformedInputMemory, NoneTookMuch) {
  rusage usage = {};
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &usage), 0);
  if (usage.ru_maxrss == 0) GTEST_SKIP() << "nothing ran before";
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(int64_t{usage.ru_maxrss} * 1024, 192 * kMebibyte);
#endif
}

}  // namespace
}  // namespace regroup::testing
