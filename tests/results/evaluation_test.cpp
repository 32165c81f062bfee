// What eval measured: written, read back and written again; files of other makes.
#include "regroup/results/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

TextResult a_text() {
  TextResult text{.name = "valid", .metrics = {}, .tokens = 100};
  text.metrics = {text_metric("loss", 2.5, 0.5), text_metric("perplexity", 12.25, 6),
                  text_metric("surprise", 0.75, std::nullopt), text_metric("kl", 0.125, 0.01),
                  text_metric("kl_max", std::nan(""), std::nan(""))};
  text.bytes = 400;
  text.windows = 4;
  text.seq_len = 32;
  text.batch_tokens = 64;
  text.profile = DamageProfile{
      .positions = {{.first = 0, .end = 32, .tokens = 100, .loss_delta = 0.5, .kl = 0.25}},
      .worst = {{.window = 2, .first_token = 64, .loss_before = 1, .loss = 3.5}},
      .windows = 4,
      .collapsed = 1};
  text.fidelity = FidelityCurve{.tokens = 100,
                                .shares = {0.5},
                                .kl = {{.value = 0.1, .low = 0.05, .high = 0.2}},
                                .delta_p = {{.value = -0.1, .low = -0.2, .high = 0}}};
  return text;
}

Metric task_metric(const std::string& name, const std::string& filter, double value) {
  Metric metric{.name = name, .filter = filter, .direction = Direction::kHigherIsBetter};
  metric.value = value;
  metric.error = 0.25;
  return metric;
}

std::vector<TaskResult> some_tasks() {
  TaskResult part{.name = "mmlu_anatomy", .metrics = {task_metric("acc", "none", 0.5)}};
  part.items = 4;
  part.original = 9;
  part.n_shot = 5;
  part.version = "1.5";
  part.output_type = "multiple_choice";
  part.data_sha256 = {"aa", "bb"};
  part.batch_tokens = 4096;
  TaskResult gsm{.name = "gsm8k", .metrics = {task_metric("exact_match", "strict-match", 0.125)}};
  gsm.items = gsm.original = 8;
  gsm.n_shot = 0;
  gsm.version = "3";
  gsm.output_type = "generate_until";
  gsm.data_sha256 = {"cc"};
  TaskResult group{.name = "mmlu", .metrics = {task_metric("acc", "none", 0.5)}};
  group.items = 4;
  group.n_shot = 5;
  group.is_group = true;
  group.members = {"mmlu_anatomy"};
  return {part, gsm, group};
}

std::vector<TaskDifference> some_differences() {
  TaskDifference flips{.task = "mmlu", .measure = "acc", .items = 4, .delta = {-0.25, 0.125}};
  flips.low = -0.5;
  flips.high = 0.125;
  flips.p = 0.5;
  flips.p_holm = 1;
  flips.broken = 2;
  flips.mended = 1;
  flips.flips = 0.75;
  flips.margin = 0.01;
  flips.non_inferior = false;
  flips.items_needed = 1234;
  flips.recovery =
      GapClosed{.measurable = true, .value = 0.5, .low = 0.25, .high = 1, .dropped = 3};
  TaskDifference without{.task = "gsm8k", .measure = "exact_match,strict-match", .items = 8};
  without.recovery = GapClosed{};
  return {flips, without};
}

ProbeResult a_probe() {
  ProbeResult probe{.name = "niah", .log_prob = {-0.5, 0.25}, .accuracy = {0.75, 0.125}};
  probe.trials = 8;
  probe.cells = {{.length = 64, .depth = 0.5, .log_prob = {-0.5, 0.25}, .trials = 4},
                 {.length = 64, .count = 3, .accuracy = {1, 0}, .trials = 4}};
  probe.axis = "pairs";
  probe.passing = -1;
  probe.trials_of_a_cell = 4;
  probe.batch_tokens = 512;
  probe.haystack = "text";
  probe.noise_stands_in = false;
  probe.text = HaystackText{.name = "essays.txt", .xxh3 = "dd", .sentences = 77};
  probe.baseline_can = true;
  probe.difference = ProbeDifference{.delta = {-0.25, 0.125}, .low = -0.5, .high = 0, .p = 0.25};
  return probe;
}

ModelResult a_model(const std::string& name) {
  ModelResult model{.name = name, .role = "uptrained", .architecture = "LlamaForCausalLM"};
  model.dtype = "f32";
  model.digest = "ee";
  model.started_from = "ff";
  model.baseline = "parent";
  model.version = "0.1.0";
  model.libtorch = "2.11";
  model.n_layers = 5;
  model.n_heads = 8;
  model.n_kv_heads = 2;
  model.n_params = 1000;
  model.kv_bytes_per_token = 640;
  model.batch_size = 3;
  model.texts = {a_text()};
  model.tasks = some_tasks();
  model.probes = {a_probe()};
  model.task_run = TaskRun{.limit = 4, .bootstrap_iterations = 100, .shot_seed = 1234};
  model.task_run->bos_mode = "harness";
  model.paired = some_differences();
  model.left_out = {{"gsm8k", {3, 5}}};
  model.truncated = {{"mmlu", 2}};
  return model;
}

TEST(Evaluation, IsReadBackAsItWasWritten) {
  for (const Evaluation& written :
       {Evaluation{{a_model("a")}}, Evaluation{{a_model("a"), a_model("b")}}}) {
    const Json json = evaluation_json(written);
    EXPECT_EQ(json.begin().key(), "format");
    EXPECT_EQ(json["format"], "regroup eval/1");
    const Evaluation read = read_evaluation(json, "eval.json");
    EXPECT_EQ(evaluation_json(read).dump(2), json.dump(2));
    ASSERT_EQ(read.models.size(), written.models.size());
    EXPECT_TRUE(read.models[0].tasks[2].is_group);
    EXPECT_EQ(read.models[0].tasks[1].metrics[0].filter, "strict-match");
    EXPECT_FALSE(read.models[0].paired->at(1).recovery->measurable);
  }
}

TEST(Evaluation, AMetricKnowsItsUnitAndDirection) {
  const TextResult text =
      read_evaluation(evaluation_json({{a_model("a")}}), "e.json").models[0].texts.at(0);
  ASSERT_EQ(text.metrics.size(), 5u);
  EXPECT_EQ(text.metrics[0].unit, "nats a token");
  EXPECT_EQ(text.metrics[0].direction, Direction::kLowerIsBetter);
  EXPECT_EQ(text.metrics[2].name, "surprise");
  EXPECT_EQ(text.metrics[2].direction, Direction::kUnknown);
  EXPECT_EQ(text.metrics[2].value, 0.75);
  EXPECT_FALSE(text.metrics[2].error.has_value());
  EXPECT_FALSE(find_metric(text.metrics, "kl_max").has_value()) << "it is \"N/A\"";
  EXPECT_EQ(find_metric(text.metrics, "kl")->error, 0.01);
}

TEST(Evaluation, WithoutATagItIsReadAsEarlierVersionsWroteIt) {
  Json json = evaluation_json({{a_model("a")}});
  json.erase("format");
  EXPECT_EQ(read_evaluation(json, "e.json").models.at(0).texts.size(), 1u);
}

TEST(Evaluation, AnotherVersionIsRefusedWithBoth) {
  Json json = evaluation_json({{a_model("a")}});
  for (const Json& tag : {Json("regroup eval/2"), Json("regroup plan/1"), Json(7)}) {
    json["format"] = tag;
    const ErrorInfo error = expect_error("RESULT_FORMAT", [&] { read_evaluation(json, "e.json"); });
    EXPECT_TRUE(contains(error.message, "e.json: must have the format regroup eval/1, found "));
    EXPECT_TRUE(contains(error.message, tag.is_string() ? tag.get<std::string>() : "7"));
  }
}

TEST(Evaluation, AWrongTypeNamesTheKey) {
  const Json good = evaluation_json({{a_model("a")}});
  struct Change {
    const char* place;
    Json value;
    const char* code;
    const char* named;
  };
  const Change changes[] = {
      {"/results/valid", 3, "CFG_TYPE", "results"},
      {"/results/valid/loss,none", "low", "CFG_TYPE", "loss,none"},
      {"/results/valid/tokens", "many", "CFG_TYPE", "tokens"},
      {"/results/mmlu/acc,none", Json::array(), "CFG_TYPE", "acc,none"},
      {"/results/niah/cells", 3, "CFG_TYPE", "cells"},
      {"/results/niah/cells/0/length", "64", "CFG_TYPE", "length"},
      {"/configs/valid/seq_len", -1, "CFG_RANGE", "seq_len"},
      {"/regroup/n_kv_heads", "2", "CFG_TYPE", "n_kv_heads"},
      {"/regroup/role", 1, "CFG_TYPE", "role"},
      {"/regroup/paired/mmlu/acc", 1, "CFG_TYPE", "paired"},
      {"/regroup/paired/mmlu/acc/ci95", "wide", "CFG_TYPE", "ci95"},
      {"/regroup/paired/mmlu/acc/delta", "less", "CFG_TYPE", "delta"},
      {"/regroup/left_out/gsm8k", "all", "CFG_TYPE", "left_out"},
      {"/regroup/probes/niah/ci95", Json::array({1}), "CFG_TYPE", "ci95"},
      {"/regroup/damage/valid/positions", 5, "CFG_TYPE", "positions"},
      {"/regroup", "0.1.0", "CFG_TYPE", "regroup"},
      {"/regroup/damage", Json::array(), "CFG_TYPE", "damage"},
      {"/regroup/left_out", Json::array({1}), "CFG_TYPE", "left_out"},
      {"/configs/gsm8k/data_sha256", 3, "CFG_TYPE", "data_sha256"},
      {"/group_subtasks/mmlu", "mmlu_anatomy", "CFG_TYPE", "mmlu"},
  };
  for (const Change& change : changes) {
    SCOPED_TRACE(change.place);
    Json bad = good;
    bad[Json::json_pointer(change.place)] = change.value;
    const ErrorInfo error = expect_error(change.code, [&] { read_evaluation(bad, "e.json"); });
    EXPECT_TRUE(contains(error.message, change.named));
    EXPECT_TRUE(contains(error.message, "e.json"));
  }
}

TEST(HarnessTasks, AreReadFromItsOwnFiles) {
  const Json json = Json::parse(R"({"results": {"piqa": {"acc,none": 0.75, "acc_stderr,none": 0.01,
 "alias": "piqa"}}, "groups": {"g": {"acc": "N/A"}}, "versions": {"piqa": 1.0}, "n-shot":
 {"piqa": 5}, "higher_is_better": {"piqa": {"acc": true}}, "n-samples": {"piqa": {"effective": 8}},
 "config": {"model_args": "pretrained=a/b,dtype=float"}})");
  const HarnessTasks read = read_harness_tasks(json, "results.json");
  EXPECT_EQ(read.model, "a/b");
  ASSERT_EQ(read.tasks.size(), 2u);
  const Metric& acc = read.tasks[0].metrics.at(0);
  EXPECT_EQ(acc.value, 0.75);
  EXPECT_EQ(acc.error, 0.01);
  EXPECT_EQ(acc.items, 8);
  EXPECT_EQ(acc.direction, Direction::kHigherIsBetter);
  EXPECT_EQ(read.tasks[0].n_shot, 5);
  EXPECT_EQ(read.tasks[0].version, "1");
  EXPECT_TRUE(std::isnan(read.tasks[1].metrics.at(0).value));
}

}  // namespace
}  // namespace regroup::testing
