// The program as a script sees it: exit code, stdout, stderr, and what lies on the disk afterwards.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/strict_json.h"
#include "regroup/checkpoint/token_file.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

constexpr const char* kTokenizer = "../shared/tokenizers/tok512/tokenizer.model";

Finished regroup(const Words& arguments) { return run_process(REGROUP_BINARY, arguments); }

/// A model with 8 query heads and 4 key/value heads, and a folder to work in.
struct Workplace {
  Workplace() {
    write_tiny_model(folder / "model",
                     {.n_layers = 1, .n_heads = 8, .n_kv_heads = 4, .head_dim = 4});
    model = folder / "model";
    out = folder / "out";
  }
  TemporaryFolder folder;
  std::string model;
  std::string out;
};

/// Runs a mistake with --json: one error object on stdout, the same words on stderr, and not a byte
/// of the working folder is different.
Json mistake(const Workplace& w, Words arguments, int exit_code, const std::string& code) {
  SCOPED_TRACE(fmt::format("{}", fmt::join(arguments, " ")));
  const std::string before = read_tree(w.folder.path());
  arguments.emplace_back("--json");
  const Finished run = regroup(arguments);
  EXPECT_EQ(run.exit_code, exit_code) << run.err;
  EXPECT_TRUE(read_tree(w.folder.path()) == before) << "the folder changed";
  const Json object = Json::parse(run.out, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || object.size() != 1 || !object.contains("error")) {
    ADD_FAILURE() << "not one error object: " << run.out;
    return {{"message", ""}, {"hint", ""}};
  }
  Json error = object["error"];
  EXPECT_EQ(error.value("code", ""), code) << run.out;
  EXPECT_EQ(error.value("exit", -1), exit_code);
  EXPECT_TRUE(contains(run.err, fmt::format("error[{}] ", code)));
  EXPECT_TRUE(contains(run.err, error.value("message", "?")));
  if (!error.contains("hint")) error["hint"] = "";
  return error;
}

std::string text(const Json& error, const char* key) { return error.value(key, ""); }

TEST(Mistakes, UnknownNamesGetTheNearestKnownOne) {
  const Workplace w;
  Json e = mistake(w, {"plann", w.model}, 2, "COMMAND_UNKNOWN");
  EXPECT_EQ(text(e, "message"), "unknown command plann");
  EXPECT_EQ(text(e, "hint"), "did you mean plan?");
  // A misspelt flag that is required: its own name, not "--kv-heads is required".
  e = mistake(w, {"convert", w.model, w.out, "--kv-hads", "2"}, 2, "FLAG_UNKNOWN");
  EXPECT_EQ(text(e, "message"), "unknown flag --kv-hads");
  EXPECT_EQ(text(e, "hint"), "did you mean --kv-heads?");
  e = mistake(w, {"plan", w.model, "--contxt=4"}, 2, "FLAG_UNKNOWN");
  EXPECT_EQ(text(e, "hint"), "did you mean --context?");
  mistake(w, {"plan", w.model, "one too many"}, 2, "ARGUMENT_UNKNOWN");
  e = mistake(w, {}, 2, "FLAG_VALUE");
  EXPECT_TRUE(contains(text(e, "message"), "name a command: plan, convert"));
}

TEST(Mistakes, HeadsThatDoNotFit) {
  const Workplace w;
  const auto convert = [&](const std::string& heads) {
    return Words{"convert", w.model, w.out, "--kv-heads", heads};
  };
  // 4 KV heads: 1, 2 and 4 divide them, 3 does not, 8 would be more than there are.
  const Json three = mistake(w, convert("3"), 2, "KV_HEADS");
  EXPECT_TRUE(contains(text(three, "message") + text(three, "hint"), "1, 2"));
  mistake(w, convert("8"), 2, "KV_HEADS");
  mistake(w, convert("0"), 2, "KV_HEADS");
  mistake(w, convert("two"), 2, "FLAG_VALUE");
  mistake(w, convert("2,1"), 2, "KV_HEADS");
  const Json none = mistake(w, {"convert", w.model, w.out}, 2, "FLAG_VALUE");
  EXPECT_EQ(text(none, "message"), "--kv-heads is required");
}

TEST(Mistakes, FoldersThatAreNone) {
  const Workplace w;
  const Words rest = {w.out, "--kv-heads", "2"};
  const auto convert = [&](const std::string& model) {
    return Words{"convert", model, rest[0], rest[1], rest[2]};
  };
  Json e = mistake(w, convert(w.folder / "nosuch"), 3, "MODEL_MISSING");
  EXPECT_EQ(text(e, "path"), w.folder / "nosuch");
  e = mistake(w, convert(w.model + "/config.json"), 3, "MODEL_NOT_FOLDER");
  EXPECT_EQ(text(e, "path"), w.model + "/config.json");
  w.folder.write("model/config.json", "{\"model_type\": \"llama\",");
  e = mistake(w, convert(w.model), 3, "JSON_SYNTAX");
  EXPECT_TRUE(contains(text(e, "path"), "config.json"));
}

TEST(Mistakes, OutputsThatExistOrLieInTheInput) {
  const Workplace w;
  fs::create_directory(w.out);
  w.folder.write("out/keep.txt", "precious");
  mistake(w, {"convert", w.model, w.out, "--kv-heads", "2"}, 2, "OUTPUT_EXISTS");
  mistake(w, {"convert", w.model, w.model, "--kv-heads", "2"}, 2, "OUTPUT_IS_INPUT");
  mistake(w, {"convert", w.model, w.model + "/gqa", "--kv-heads", "2"}, 2, "OUTPUT_IS_INPUT");
  mistake(w, {"convert", w.model, w.folder / "no/such/parent", "--kv-heads", "2"}, 2,
          "OUTPUT_PARENT");
}

TEST(Mistakes, Recipes) {
  const Workplace w;
  const auto with = [&](const std::string& recipe) {
    return Words{"--recipe", w.folder.write("r.toml", recipe), "convert", w.model, w.out};
  };
  Json e = mistake(w, with("[convert]\nkv-hed = 2\n"), 2, "RECIPE_UNKNOWN_KEY");
  EXPECT_EQ(text(e, "message"), "unknown key convert.kv-hed");
  EXPECT_EQ(text(e, "hint"), "did you mean convert.kv-heads?");
  e = mistake(w, with("[convrt]\nkv-heads = 2\n"), 2, "RECIPE_UNKNOWN_SECTION");
  EXPECT_EQ(text(e, "message"), "unknown section [convrt]");
  EXPECT_EQ(text(e, "hint"), "did you mean convert?");
  mistake(w, with("[convert\nkv-heads\n"), 2, "RECIPE_SYNTAX");
  e = mistake(w, {"--recipe", w.folder / "none.toml", "plan", w.model}, 2, "RECIPE_MISSING");
  EXPECT_EQ(text(e, "path"), w.folder / "none.toml");
  mistake(w, {"run", w.folder / "none.toml"}, 2, "RECIPE_MISSING");
}

TEST(Mistakes, TextsAndTokens) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  const Workplace w;
  write_tiny_model(w.model, {.n_layers = 1, .n_heads = 8, .head_dim = 4, .vocab_size = 512});
  fs::copy_file(kTokenizer, w.model + "/tokenizer.model");
  const auto uptrain = [&](const std::string& data) {
    return Words{"uptrain",   w.model, w.out,      "--data", data,        "--steps", "1",
                 "--seq-len", "64",    "--device", "cpu",    "--threads", "1"};
  };
  const auto eval = [&](const std::string& data, const char* flag = "--text") {
    return Words{"eval", w.model, flag, data, "--device", "cpu", "--threads", "1"};
  };
  const auto code_of = [&](const Words& arguments) {  // exit 3, an object, nothing left
    Words with_json = arguments;
    with_json.emplace_back("--json");
    const Json object = Json::parse(regroup(with_json).out, nullptr, false);
    const std::string code =
        object.is_object() && object.contains("error") ? object["error"].value("code", "") : "none";
    mistake(w, arguments, 3, code);
    return code;
  };
  const std::string empty = w.folder.write("empty.txt", "");
  const std::string binary = w.folder.write("binary.txt", std::string("\xff\xfe\x00\x80", 4));
  const std::string brief = w.folder.write("brief.txt", "Once.");
  EXPECT_NE(code_of(uptrain(empty)), "none");
  EXPECT_NE(code_of(eval(empty)), "none");
  EXPECT_EQ(code_of(uptrain(binary)), code_of(eval(binary)));
  EXPECT_EQ(code_of(uptrain(brief)), "TEXT_TOO_SHORT");
  TokenFileWriter writer(w.folder / "beyond.bin", 600);
  std::vector<int32_t> ids(200, 1);
  ids[150] = 555;
  writer.add(ids);
  writer.finish();
  EXPECT_EQ(code_of(uptrain(w.folder / "beyond.bin")), "TOKENS_RANGE");
  EXPECT_EQ(code_of(eval(w.folder / "beyond.bin", "--tokens")), "TOKENS_RANGE");
  mistake(w, uptrain(w.folder / "nosuch.txt"), 3, code_of(uptrain(w.folder / "nosuch.txt")));
  mistake(w, {"eval", w.model}, 2, "FLAG_MISSING");
}

TEST(Commands, PlanByHand) {
  const TemporaryFolder folder;
  // Llama-2-7B: 32 layers, 32 heads of 128, 4096 wide, 11008 in the MLP, 32000 ids, untied.
  const std::string config = folder.write(
      "config.json",
      R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
          "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
          "intermediate_size": 11008, "vocab_size": 32000, "max_position_embeddings": 4096,
          "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "hidden_act": "silu"})");
  const Finished run = regroup({"plan", config, "--kv-heads", "32,8", "--context", "4096",
                                "--batch", "2", "--gpu-memory", "16GiB", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json plan = Json::parse(run.out);
  // 2 * 32000*4096 + 32 * (4*4096^2 + 3*4096*11008 + 2*4096) + 4096 = 6,738,415,616.
  EXPECT_EQ(plan.at("model").at("n_params"), 6738415616);
  EXPECT_EQ(plan.at("model").at("weight_bytes"), 13476831232);
  EXPECT_EQ(plan.at("gpu_memory_bytes"), 17179869184);
  const Json& mha = plan.at("options").at(0);
  // 32 layers * 2 * 32 heads * 128 * 2 bytes = 524,288 a token; * 4096 * 2 = 4 GiB.
  EXPECT_EQ(mha.at("kv_bytes_per_token"), 524288);
  EXPECT_EQ(mha.at("kv_bytes"), 4294967296);
  EXPECT_EQ(mha.at("total_bytes"), 17771798528);  // above 16 GiB
  EXPECT_EQ(mha.at("fits"), false);
  EXPECT_EQ(mha.at("max_batch"), 1);  // (17179869184 - 13476831232) / 2147483648 = 1.7
  const Json& gqa = plan.at("options").at(1);
  EXPECT_EQ(gqa.at("group_size"), 4);
  EXPECT_EQ(gqa.at("kv_bytes_per_token"), 131072);
  // K and V lose 24 of 32 heads: 32 * 2 * 4096 * 3072 = 805,306,368 weights.
  EXPECT_EQ(gqa.at("n_params"), 6738415616 - 805306368);
  EXPECT_EQ(gqa.at("fits"), true);
  EXPECT_EQ(plan.at("recommended_kv_heads"), 8);
}

TEST(Commands, DryRunWritesNothing) {
  const Workplace w;
  const std::string before = read_tree(w.folder.path());
  const Finished run =
      regroup({"convert", w.model, w.out, "--kv-heads", "2", "--dry-run", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(Json::parse(run.out).at("n_kv_heads"), Json({{"before", 4}, {"after", 2}}));
  EXPECT_TRUE(read_tree(w.folder.path()) == before);
}

TEST(Commands, VerifyFindsOneFlippedByte) {
  const Workplace w;
  ASSERT_EQ(regroup({"convert", w.model, w.out, "--kv-heads", "2", "--quiet"}).exit_code, 0);
  const Finished good = regroup({"verify", w.out, "--against", w.model, "--json"});
  ASSERT_EQ(good.exit_code, 0) << good.err;
  const Json result = Json::parse(good.out);
  EXPECT_EQ(result.at("ok"), true);
  EXPECT_EQ(result.at("changed").size(), 2u) << good.out;  // k_proj and v_proj of the one layer
  std::string bytes = read_file(w.out + "/model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(w.out + "/model.safetensors", bytes);
  const Json error = mistake(w, {"verify", w.out}, 3, "VERIFY");
  EXPECT_TRUE(contains(text(error, "message"), "model.safetensors"));
}

TEST(Commands, EveryRecipeIsAccepted) {
  const Workplace w;  // verify does not touch what a recipe says, but the whole recipe is parsed
  int recipes = 0;
  for (const auto& entry : fs::directory_iterator("recipes")) {
    if (entry.path().extension() != ".toml") continue;
    ++recipes;
    const Finished run = regroup({"--recipe", entry.path().string(), "verify", w.model});
    EXPECT_EQ(run.exit_code, 0) << entry.path() << ": " << run.err;
  }
  EXPECT_GE(recipes, 3);
}

TEST(Commands, HelpAndVersion) {
  for (const char* command : {"", "plan", "convert", "tokenize", "uptrain", "eval", "generate",
                              "report", "verify", "run"}) {
    Words words = {"--help"};
    if (*command != '\0') words.insert(words.begin(), command);
    const Finished run = regroup(words);
    EXPECT_EQ(run.exit_code, 0) << command << run.err;
    EXPECT_TRUE(contains(run.out, "--help")) << command;
    EXPECT_EQ(run.err, "") << command;
  }
  const Finished version = regroup({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_TRUE(version.out.starts_with("regroup "));
}

}  // namespace
}  // namespace regroup::testing
