// The program as a script sees it: exit code, stdout, stderr, and what lies on the disk afterwards.
#include <filesystem>

#include "cli/cli_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

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
  e = mistake(w, {}, 2, "FLAG_MISSING");
  EXPECT_TRUE(contains(text(e, "message"), "name a command: plan, replay, convert"));
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

TEST(Commands, RepeatedHeadsAreNoMethod) {
  const Workplace w;
  const Finished run = regroup({"convert", w.model, w.out, "--kv-heads", "8"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(contains(run.out, "4 -> 8 key/value heads, each 2 times, the same model")) << run.out;
}

TEST(Commands, VerifyFindsOneFlippedByte) {
  const Workplace w;
  w.folder.write("model/chat_template.jinja", "{{ text }}");
  const Finished made =
      regroup({"convert", w.model, w.out, "--kv-heads", "2", "--method", "mean", "--quiet"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Finished good = regroup({"verify", w.out, "--against", w.model, "--json"});
  ASSERT_EQ(good.exit_code, 0) << good.err;
  const Json result = Json::parse(good.out);
  EXPECT_EQ(result.at("ok"), true);
  EXPECT_EQ(result.at("changed").size(), 2u) << good.out;  // k_proj and v_proj of the one layer
  fs::remove(w.out + "/chat_template.jinja");
  EXPECT_EQ(text(mistake(w, {"verify", w.out}, 3, "VERIFY"), "message"),
            "1 problem:\n  chat_template.jinja: listed in regroup.json but missing");
  write_file(w.out + "/chat_template.jinja", "{{ text }}");
  std::string bytes = read_file(w.out + "/model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(w.out + "/model.safetensors", bytes);
  Json error = mistake(w, {"verify", w.out}, 3, "VERIFY");
  EXPECT_TRUE(contains(text(error, "message"), "model.safetensors"));
  EXPECT_EQ(text(error, "hint"), "make or fetch the folder again");
}

TEST(Commands, VerifyAgainstAnotherModelThanTheParent) {
  const Workplace w;
  write_tiny_model(w.folder / "other",
                   {.n_layers = 1, .n_heads = 8, .n_kv_heads = 8, .head_dim = 4});
  ASSERT_EQ(regroup({"convert", w.model, w.out, "--kv-heads", "2"}).exit_code, 0);
  const Json error = mistake(w, {"verify", w.out, "--against", w.folder / "other"}, 3, "VERIFY");
  EXPECT_TRUE(contains(text(error, "message"),
                       "the parent must have 4 KV heads, as regroup.json says, found 8"));
  EXPECT_EQ(text(error, "hint"), "give --against the model that this one was made from");
}

TEST(Commands, HelpAndVersion) {
  for (const char* command : {"", "plan", "replay", "convert", "tokenize", "uptrain", "eval",
                              "bench", "generate", "report", "verify", "run", "sweep"}) {
    Words words = {"--help"};
    if (*command != '\0') words.insert(words.begin(), command);
    const Finished run = regroup(words);
    EXPECT_EQ(run.exit_code, 0) << command << run.err;
    EXPECT_TRUE(contains(run.out, "--help")) << command;
    EXPECT_EQ(run.err, "") << command;
  }
  const std::string help = regroup({"convert", "--help"}).out;
  EXPECT_TRUE(contains(help, "  MODEL FOLDER REQUIRED  "));
  EXPECT_TRUE(
      contains(help, "  --model FOLDER                    The same as MODEL, for recipes\n"));
  EXPECT_TRUE(contains(help, "  --kv-heads INT REQUIRED  "));  // one number
  EXPECT_TRUE(contains(regroup({"compare", "--help"}).out, "  --kv-heads INT,... REQUIRED  "));
  const Finished version = regroup({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_TRUE(version.out.starts_with("regroup "));
}

}  // namespace
}  // namespace regroup::testing
