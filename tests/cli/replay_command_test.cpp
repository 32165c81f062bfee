// replay and the plans of families that are not converted, as a user and a script see them.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cli_tools.h"

namespace regroup::testing {
namespace {

constexpr const char* kLlama = "docs/examples/llama-2-13b.config.json";
constexpr const char* kAzure = "../shared/data/traces/azure_llm_conv_2023.csv";
constexpr const char* kMooncake = "../shared/data/traces/mooncake_conversation_part.jsonl";

Json replayed(const Words& more) {
  Words words = {"replay", kLlama, "--json"};
  words.insert(words.end(), more.begin(), more.end());
  const Finished run = regroup(words);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  return Json::parse(run.out);
}

TEST(Replay, APublishedTraceAtSeveralNumbersOfHeads) {
  const Json result = replayed({"--gpu", "H100", "--trace", kAzure, "--kv-heads", "8,40"});
  EXPECT_EQ(result["trace"]["requests"], 19'366);
  EXPECT_EQ(result["settings"]["memory_bytes"], 81'559 * (int64_t{1} << 20));
  ASSERT_EQ(result["options"].size(), 2U);
  const Json& mha = result["options"][0];
  const Json& gqa = result["options"][1];
  EXPECT_EQ(mha["n_kv_heads"], 40);
  for (const Json* option : {&mha, &gqa}) {
    // The contract of CLI.md.
    for (const char* key : {"n_kv_heads", "completed", "preemptions", "tokens_per_s"}) {
      EXPECT_TRUE((*option)[key].is_number()) << key;
    }
    EXPECT_TRUE((*option)["concurrency"]["mean"].is_number());
    EXPECT_TRUE((*option)["concurrency"]["p99"].is_number());
    EXPECT_TRUE((*option)["queue_s"]["p50"].is_number());
    EXPECT_TRUE((*option)["queue_s"]["p99"].is_number());
    for (const char* key : {"mean", "std", "p99"}) {
      EXPECT_TRUE((*option)["kv_bytes"][key].is_number()) << key;
    }
    const int64_t answered = (*option)["completed"].get<int64_t>();
    EXPECT_EQ(answered + (*option)["rejected"].get<int64_t>(), 19'366);
  }
  // A fifth of the heads: a fifth of the cache of the same requests.
  EXPECT_NEAR(gqa["request_kv_bytes"]["mean"].get<double>() * 5,
              mha["request_kv_bytes"]["mean"].get<double>(), 1);
  EXPECT_LT(gqa["ttft_s"]["p99"], mha["ttft_s"]["p99"]);
}

TEST(Replay, SharedPrefixesOfAPublishedTrace) {
  const Words words = {"--gpu",      "h200", "--trace",       kMooncake,
                       "--kv-heads", "8",    "--max-context", "200k"};
  Words shared = words;
  shared.emplace_back("--prefix-caching");
  const Json with = replayed(shared)["options"][0];
  const Json without = replayed(words)["options"][0];
  EXPECT_GT(with["prefix_hit_tokens"], 0);
  EXPECT_EQ(without["prefix_hit_tokens"], 0);
  EXPECT_LT(with["busy_s"], without["busy_s"]);
  EXPECT_EQ(with["output_tokens"], without["output_tokens"]);
}

TEST(Replay, WritesATraceThatGivesTheSame) {
  const Workplace w;
  const std::string trace = w.folder / "made.csv";
  const std::string out = w.folder / "replay.json";
  const Words server = {"--gpu",         "l40s", "--kv-heads",  "8",
                        "--max-ttft-ms", "500",  "--gpu-price", "1"};
  Words make = {"--requests", "500", "--rate", "2", "--seed", "4", "--save-trace", trace};
  make.insert(make.end(), server.begin(), server.end());
  const Json made = replayed(make);
  Words read = {"--trace", trace, "--out", out};
  read.insert(read.end(), server.begin(), server.end());
  const Json again = replayed(read);
  EXPECT_EQ(made["options"][0]["completed"], again["options"][0]["completed"]);
  EXPECT_NEAR(made["options"][0]["tokens_per_s"].get<double>(),
              again["options"][0]["tokens_per_s"].get<double>(), 1e-2);
  EXPECT_GT(again["options"][0]["cost_per_million_tokens"], 0);
  EXPECT_EQ(Json::parse(read_file(out)), again);
  const std::string page = w.folder / "report.html";
  ASSERT_EQ(regroup({"report", out, "--out", page}).exit_code, 0);
  EXPECT_TRUE(contains(read_file(page), "Serving a trace of requests"));
}

// Its tables have 96 columns and more.
TEST(Replay, FoldsItsTablesWhereTheTerminalIsNarrow) {
  const Words words = {"replay", kLlama, "--gpu", "h100", "--requests", "20", "--kv-heads", "8"};
  const std::string wide = regroup(words).out;
  ::setenv("COLUMNS", "72", 1);
  const std::string narrow = regroup(words).out;
  ::unsetenv("COLUMNS");
  EXPECT_TRUE(contains(wide, "TPOT p50"));
  EXPECT_NE(narrow, wide);
  size_t headings = 0;
  for (size_t at = 0; (at = narrow.find("KV heads  ", at)) != std::string::npos; ++at) ++headings;
  EXPECT_EQ(headings, 4U) << narrow;
  const std::string tables = narrow.substr(narrow.find("KV heads  "));
  for (size_t from = 0; from < tables.size();) {
    const size_t end = std::min(tables.find('\n', from), tables.size());
    EXPECT_LE(end - from, 72U) << narrow;
    from = end + 1;
  }
}

TEST(Replay, SaysWhatIsWrong) {
  const Workplace w;
  const std::string late =
      w.folder.write("late.csv", "time_s,prompt_tokens,output_tokens\n2,1,1\n1,1,1\n");
  const std::string bad = w.folder.write("bad.csv", "time_s,prompt_tokens,output_tokens\n1,-5,1\n");
  const auto words = [&](const Words& more) {
    Words all = {"replay", kLlama};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  mistake(w, words({}), 2, "FLAG_MISSING");
  mistake(w, words({"--gpu-memory", "80GiB"}), 2, "FLAG_MISSING");
  const Json unknown = mistake(w, words({"--gpu", "h1000"}), 2, "GPU_UNKNOWN");
  EXPECT_TRUE(contains(text(unknown, "hint"), "did you mean h100?"));
  mistake(w, words({"--gpu", "h100", "--kv-heads", "7"}), 2, "KV_HEADS");
  mistake(w, words({"--gpu", "t4"}), 2, "REPLAY_MEMORY");
  mistake(w, words({"--gpu", "h100", "--trace", w.folder / "none.csv"}), 3, "IO_READ_ERROR");
  mistake(w, words({"--gpu", "h100", "--trace", bad}), 3, "TRACE_VALUE");
  mistake(w, words({"--gpu", "h100", "--trace", late, "--prefix-caching"}), 2, "FLAG_CONFLICT");
  mistake(w, words({"--gpu", "h100", "--trace", late, "--out", late}), 2, "OUTPUT_IS_INPUT");
  mistake(w, words({"--gpu", "h100", "--trace-time-unit", "h"}), 2, "FLAG_VALUE");
  const Finished run = regroup(words({"--gpu", "h100", "--trace", late, "--kv-heads", "8"}));
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(contains(run.err, "1 of 2 requests stood behind a later one"));
}

TEST(PlanOfOtherFamilies, CountsTheCacheAndAsksForWeights) {
  const Workplace w;
  const std::string phimoe = w.folder.write(
      "phimoe.json",
      R"({"model_type": "phimoe", "architectures": ["PhimoeForCausalLM"], "hidden_size": 4096,
 "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
 "num_local_experts": 8, "vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": null})");
  const Finished run = regroup({"plan", phimoe, "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json plan = Json::parse(run.out);
  // 2 * 32 layers * 8 heads * 128 * 2 bytes
  EXPECT_EQ(plan["options"][0]["kv_bytes_per_token"], 131'072);
  EXPECT_TRUE(plan["options"][0]["weight_bytes"].is_null());
  EXPECT_TRUE(plan["model"]["n_params"].is_null());
  mistake(w, {"plan", phimoe, "--gpu", "h100"}, 2, "FLAG_MISSING");
  const Finished stated =
      regroup({"plan", phimoe, "--gpu", "h200", "--weights", "83.7GB", "--batch", "8", "--json"});
  ASSERT_EQ(stated.exit_code, 0) << stated.err;
  const Json fits = Json::parse(stated.out);
  EXPECT_EQ(fits["options"][0]["weight_bytes"], 83'700'000'000);
  EXPECT_EQ(fits["options"][0]["fits"], true);
  // 83.7 GB and 8 * 32,768 * 131,072 B at 4.8 TB/s.
  EXPECT_NEAR(fits["options"][0]["roofline"]["seconds"].get<double>(),
              (83.7e9 + 8 * 32'768 * 131'072.0) / 4.8e12, 1e-9);
  EXPECT_EQ(fits["options"][0]["roofline"]["bound"], "memory");
  const std::string page = w.folder / "plan.md";
  const std::string result = w.folder.write("plan.result.json", run.out);
  ASSERT_EQ(regroup({"report", result, "--out", page}).exit_code, 0);
  EXPECT_TRUE(contains(read_file(page), "PhimoeForCausalLM") ||
              contains(read_file(page), "128 KiB"));
}

// A step of 8 sequences leaves out a share of 0.75^8 of the experts, and a token goes through 2 of 8.
TEST(PlanOfOtherFamilies, ExpertsAreReadAsTheyAreChosen) {
  const Workplace w;
  const std::string mixtral = w.folder.write(
      "mixtral.json",
      R"({"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "hidden_size": 4096,
 "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
 "num_local_experts": 8, "vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": null})");
  const Finished run = regroup({"plan", mixtral, "--gpu", "h200", "--batch", "8", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json option = Json::parse(run.out)["options"][0];
  EXPECT_EQ(option["weight_bytes"], 2 * 46'702'792'704);
  const double experts = 32.0 * 8 * 3 * 4096 * 14336;
  const double read = 46'702'792'704 - experts * std::pow(0.75, 8);
  EXPECT_NEAR(option["roofline"]["seconds"].get<double>(),
              (2 * read + 8 * 32'768 * 131'072.0) / 4.8e12, 1e-9);
  const Finished text = regroup({"plan", mixtral});
  EXPECT_TRUE(contains(text.out, "46.7 B parameters, of which a token uses 12.9 B")) << text.out;
}

TEST(PlanOfOtherFamilies, ReservesAreSaid) {
  const Finished run = regroup({"plan", kLlama, "--gpu", "h100", "--reserve", "auto", "--context",
                                "4096", "--kv-heads", "40,8"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  // 8,192 tokens * 2 bytes * (3 * 5,120 + 3 * 13,824) = 888 MiB; one row of 32,000 logits in 32 bits.
  EXPECT_TRUE(
      contains(run.out, "activations 888 MiB + logits 125 KiB + CUDA context and graphs 1.25 GiB"))
      << run.out;
  EXPECT_TRUE(contains(run.out, "recommended: 40 KV heads\nthe fewest that fit: 8\n")) << run.out;
}

}  // namespace
}  // namespace regroup::testing
