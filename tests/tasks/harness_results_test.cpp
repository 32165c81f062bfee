// Results as lm-evaluation-harness writes them, and the names of its files.
#include "regroup/tasks/harness_results.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "regroup/base/harness_name.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

Json a_model() {
  return Json::parse(R"({
    "results": {
      "mmlu_anatomy": {"alias": "mmlu_anatomy", "name": "mmlu_anatomy", "sample_len": 2, "acc,none": 0.5,
                       "acc_stderr,none": "N/A"},
      "mmlu": {"alias": "mmlu", "name": "mmlu", "sample_len": 2, "acc,none": 0.5, "acc_stderr,none": 0.25},
      "valid": {"alias": "valid", "loss,none": 2.0, "loss_stderr,none": 0.1, "tokens": 999},
      "passkey": {"alias": "passkey", "sample_len": 20, "acc,none": 1.0, "cells": [{"length": 256}]}},
    "groups": {"mmlu": {"alias": "mmlu", "name": "mmlu", "sample_len": 2, "acc,none": 0.5, "acc_stderr,none": 0.25}},
    "group_subtasks": {"mmlu": ["mmlu_anatomy"]},
    "configs": {"valid": {"output_type": "text_loss"}}, "versions": {"mmlu": 2}, "n-shot": {"mmlu": 5},
    "higher_is_better": {"mmlu": {"acc": true}},
    "n-samples": {"valid": {"original": 7, "effective": 7}, "mmlu_anatomy": {"original": 9, "effective": 2}},
    "config": {"model": "regroup", "model_dtype": "bf16", "limit": 2, "batch_size": "auto"},
    "model_name": "out/g,2", "regroup": {"libtorch": "2.11.0", "n_kv_heads": 2}})");
}

Json written() {
  return harness_results(
      a_model(), {{"mmlu_anatomy", "abc"}},
      {.started = 1769860805.5, .seconds = 1.5, .device = "cpu", .max_length = 128});
}

TEST(HarnessResults, HaveEveryKeyOfTheHarness) {
  const Json theirs = Json::parse(
      read_file("tests/tasks/golden/harness/made__up/results_2026-01-31T12-00-05.123456.json"));
  const Json ours = written();
  for (const auto& [key, value] : theirs.items()) EXPECT_TRUE(ours.contains(key)) << key;
  for (const char* key :
       {"pretty_env_info", "transformers_version", "upper_git_hash", "max_length"}) {
    EXPECT_TRUE(ours.contains(key)) << key;
  }
  EXPECT_EQ(ours.at("task_hashes"), Json({{"mmlu_anatomy", "abc"}}));
  EXPECT_EQ(ours.at("total_evaluation_time_seconds"), "1.5");
  EXPECT_EQ(ours.at("model_name"), "out/g,2");
  EXPECT_EQ(ours.at("model_name_sanitized"), "out__g,2");
  EXPECT_EQ(ours.at("config").at("model_args").at("pretrained"), "out/g,2");
  EXPECT_EQ(ours.at("config").at("model_dtype"), "torch.bfloat16");
  EXPECT_EQ(ours.at("config").at("limit"), 2);
  EXPECT_EQ(ours.at("regroup").at("n_kv_heads"), 2);
}

TEST(HarnessResults, TheChatTemplateIsNamed) {
  EXPECT_TRUE(written().at("chat_template").is_null());
  Json model = a_model();
  model["config"]["fewshot_as_multiturn"] = true;
  const Json asked = harness_results(model, {}, {.device = "cpu", .chat_template = "{{ x }}"});
  EXPECT_EQ(asked.at("chat_template"), "{{ x }}");
  EXPECT_EQ(asked.at("fewshot_as_multiturn"), true);
  // printf '{{ x }}' | sha256sum
  EXPECT_EQ(asked.at("chat_template_sha"),
            "e52c737297f7dad622da7e58f5a16e7437f2716daccb4da859fc567ccd75c9a4");
}

TEST(HarnessResults, RowsHoldNumbersAlone) {
  const Json rows = written().at("results");
  EXPECT_EQ(rows.at("valid"), Json::parse(R"({"name": "valid", "alias": "valid", "sample_len": 7,
                                              "loss,none": 2.0, "loss_stderr,none": 0.1})"));
  EXPECT_FALSE(rows.at("passkey").contains("cells"));
  EXPECT_FALSE(rows.at("mmlu_anatomy").contains("sample_count"));
  EXPECT_EQ(rows.at("mmlu").at("sample_count"), Json({{"acc,none", 2}}));
  EXPECT_EQ(written().at("groups").at("mmlu"), rows.at("mmlu"));
}

TEST(HarnessResults, NamesAreSafe) {
  EXPECT_EQ(harness_file_name("EleutherAI/pythia-14m"), "EleutherAI__pythia-14m");
  EXPECT_EQ(harness_file_name("../a//b:c?*[d]\"<>|\\e"), "..__a__b__c__d__e");
  EXPECT_EQ(harness_file_name("a b_é"), "a b_é");
  EXPECT_EQ(harness_file_name(std::string("a\0b", 3)), "a__b");
  for (const char* name : {"", ".", "..", "/", "//", "/.."}) {
    const std::string safe = harness_file_name(name);
    EXPECT_TRUE(safe.starts_with("__")) << name;
    EXPECT_EQ(safe.find('/'), std::string::npos);
  }
}

TEST(HarnessResults, TheDateHasNoUnderscoreAndNoColon) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(harness_date(1769860805.5), "2026-01-31T12-00-05.500000");
  EXPECT_EQ(harness_date(0.0), "1970-01-01T00-00-00.000000");
}

}  // namespace
}  // namespace regroup::testing
