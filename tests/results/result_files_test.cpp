// Plan, conversion, samples, run, replay and training log: written, read back and written again, and what is refused.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "regroup/results/conversion.h"
#include "regroup/results/damage.h"
#include "regroup/results/fields.h"
#include "regroup/results/plan.h"
#include "regroup/results/replay.h"
#include "regroup/results/run.h"
#include "regroup/results/samples.h"
#include "regroup/results/speed.h"
#include "regroup/results/training_log.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

PlanResult a_plan() {
  PlanResult plan{.architecture = "LlamaForCausalLM", .n_kv_heads = 8, .context = 4096, .batch = 2};
  plan.kv_dtype = "bf16";
  plan.gpu_memory_bytes = int64_t{1} << 36;
  plan.recommended = 4;
  plan.why = "4 are the most that fit";
  plan.warnings = {"beyond the limit"};
  PlanOption most{.n_kv_heads = 8, .kv_bytes_per_token = 1024, .kv_bytes = 1 << 20};
  most.fits = false;
  most.max_batch = 1;
  PlanOption four{.n_kv_heads = 4, .kv_bytes_per_token = 512, .kv_bytes = 1 << 19};
  four.weight_bytes = 1000;
  four.total_bytes = 2000;
  four.group_size = 2;
  four.n_params = 500;
  four.device = PlanDevice{.n_kv_heads = 2, .kv_bytes_per_token = 256, .divides = false};
  four.roofline = PlanRoofline{.bytes = 1e9, .flops = 2e9, .tokens_per_s = 12.5};
  four.roofline->memory_bound = false;
  four.damage = PlanDamage{.method = "pca", .loss_delta = 0.25, .kl = 0.125};
  plan.options = {most, four};
  plan.model = {.family = "llama", .n_layers = 2, .n_heads = 8, .head_dim = 16, .hidden_size = 128};
  plan.model.vocab_size = 64;
  plan.model.attention = {"full", "sliding"};
  plan.devices = 2;
  plan.reserve_bytes = 77;
  plan.gpu = "H100";
  plan.damage_why = "2 cost more";
  plan.limit = PlanLimit{.max_loss_increase = 0.5, .smallest_kv_heads = 4};
  return plan;
}

ConversionResult a_conversion() {
  ConversionResult result{.model = "p", .out = "c", .family = "llama", .written_as = "llama"};
  result.method = "pca";
  result.kv_heads_before = 8;
  result.kv_heads_after = 2;
  result.tensors_copied = 9;
  result.tensors_changed = 4;
  result.read_bytes = 100;
  result.written_bytes = 60;
  result.cost = ConversionCost{.seconds = 1.5, .peak_rss_bytes = 1 << 20};
  result.digests = {{"config.json", "aa"}, {"model.safetensors", "bb"}};
  result.calibration_tokens = 40;
  result.calibration_flops = 1e12;
  result.resumed_files = 1;
  result.gains = ConversionGains{.logit = true, .output = false};
  return result;
}

ConversionResult a_dry_run() {
  ConversionResult result{.model = "p", .out = "c", .family = "llama", .written_as = "llama"};
  result.dry_run = DryRun{.peak_memory_bytes = 5, .files = {{"model.safetensors", 60}}};
  return result;
}

RunRecord a_run() {
  return {.version = "0.1.0",
          .recipe_path = "r.toml",
          .recipe_text = "[eval]\n",
          .stages = {{.name = "eval",
                      .state = "done",
                      .seconds = 7.5,
                      .arguments = {"eval", "a b"},
                      .fingerprint = "ff"},
                     {.name = "bench", .state = "started"}}};
}

TrainingStart a_start() {
  TrainingStart start{.model = "c", .n_kv_heads = 2, .n_params = 9, .n_trainable = 8};
  start.conversion = StartConversion{
      .method = "mean", .calibrated = true, .kv_heads_before = 8, .kv_heads_after = 2};
  start.teacher = "p";
  start.kl_weight = 0.5;
  start.temperature = 2;
  start.tokens_per_step = 64;
  start.steps = 3;
  start.learning_rate = 1e-3;
  start.warmup_steps = 1;
  start.rates_chosen = "depth";
  start.seq_len = 32;
  start.flops_per_token = 1e6;
  start.valid = "cc";
  start.val_loss = 2.5;
  return start;
}

ReplayReport a_replay() {
  ReplayReport report{.family = "llama", .architecture = "LlamaForCausalLM", .n_kv_heads = 8};
  report.trace = "conversation.jsonl";
  report.requests = 12;
  report.seconds = 3.5;
  report.unordered = 1;
  report.server = {.devices = 2, .memory_bytes = int64_t{1} << 36, .reserve_bytes = 7};
  report.server.prefix_caching = true;
  report.server.gpu_price = 2.5;
  ReplayOption eight{.n_kv_heads = 8, .weight_bytes = 9, .budget_bytes = 10, .completed = 11};
  eight.good = 3;
  eight.busy_s = 0.25;
  eight.kv_bytes = {.mean = 1, .std = 2, .p50 = 3, .p99 = 4, .max = 5};
  eight.fragmentation = 0.125;
  ReplayOption four = eight;
  four.n_kv_heads = 4;
  four.latency_s.max = 6.5;
  four.device_hours_per_million_tokens = 1.5;
  four.cost_per_million_tokens = 3.75;
  report.options = {eight, four};
  return report;
}

/// A kind of file: what is written of an example, and the same read back and written again.
struct Kind {
  const char* format;
  Json written;
  std::function<Json(const Json&)> again;
};

std::vector<Kind> kinds() {
  const auto conversion = [](const Json& json) {
    return conversion_result_json(read_conversion(json, "f.json"));
  };
  return {
      {"regroup plan/1", plan_result_json(a_plan()),
       [](const Json& json) { return plan_result_json(read_plan(json, "f.json")); }},
      {"regroup plan/1", plan_result_json({}),
       [](const Json& json) { return plan_result_json(read_plan(json, "f.json")); }},
      {"regroup convert/1", conversion_result_json(a_conversion()), conversion},
      {"regroup convert/1", conversion_result_json(a_dry_run()), conversion},
      {"regroup samples/1", samples_json({{"Once", {{"baseline", 8, " upon"}, {"", 2, ""}}}}),
       [](const Json& json) { return samples_json(read_samples(json, "f.json")); }},
      {"regroup run/1", run_record_json(a_run()),
       [](const Json& json) { return run_record_json(read_run_record(json, "f.json")); }},
      {"regroup replay/1", replay_report_json(a_replay()),
       [](const Json& json) { return replay_report_json(read_replay(json, "f.json")); }},
  };
}

/// A log with the line of `start`.
std::string log_of(const Json& start) {
  Json line = {{"event", "start"}, {"step", 0}};
  line.update(start);
  return line.dump() + "\n";
}

TEST(ResultFiles, AreReadBackAsTheyWereWritten) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.written.dump());
    EXPECT_EQ(kind.written.at("format"), kind.format);
    EXPECT_EQ(kind.again(kind.written).dump(2), kind.written.dump(2));
  }
}

TEST(ResultFiles, WithoutATagAreThoseOfEarlierVersions) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.format);
    Json old = kind.written;
    old.erase("format");
    EXPECT_EQ(kind.again(old).dump(), kind.written.dump());
  }
}

TEST(ResultFiles, OfAnotherVersionAreRefusedWithBoth) {
  for (const Kind& kind : kinds()) {
    Json later = kind.written;
    later["format"] = "regroup later/9";
    const ErrorInfo error = expect_error("RESULT_FORMAT", [&] { kind.again(later); });
    EXPECT_TRUE(contains(error.message, kind.format));
    EXPECT_TRUE(contains(error.message, "found regroup later/9"));
    EXPECT_FALSE(error.hint.empty());
  }
  expect_error("RESULT_FORMAT", [] { read_speed({{"format", "regroup bench/2"}}, "f.json"); });
  expect_error("RESULT_FORMAT", [] { read_damage({{"format", "regroup-damage/2"}}, "f.json"); });
}

TEST(ResultFiles, AWrongTypeNamesTheKey) {
  struct Change {
    size_t kind;
    const char* place;
    Json value;
    const char* code;
  };
  const Change changes[] = {{0, "/context", "4k", "CFG_TYPE"},
                            {0, "/options", 3, "CFG_TYPE"},
                            {0, "/options/0/kv_bytes", "big", "CFG_TYPE"},
                            {0, "/options/1/fits", 1, "CFG_TYPE"},
                            {0, "/options/1/damage/kl", "low", "CFG_TYPE"},
                            {0, "/model/n_kv_heads", -8, "CFG_RANGE"},
                            {2, "/n_kv_heads/before", "8", "CFG_TYPE"},
                            {0, "/model", "a model", "CFG_TYPE"},
                            {0, "/warnings", "beyond", "CFG_TYPE"},
                            {0, "/model/attention", {{"full", 2}}, "CFG_TYPE"},
                            {0, "/options/1/device", 5, "CFG_TYPE"},
                            {2, "/bytes", Json::array(), "CFG_TYPE"},
                            {2, "/digests", Json::array({"aa"}), "CFG_TYPE"},
                            {2, "/gains", true, "CFG_TYPE"},
                            {2, "/seconds", "1", "CFG_TYPE"},
                            {3, "/files", "none", "CFG_TYPE"},
                            {4, "/samples", 3, "CFG_TYPE"},
                            {4, "/samples/0/prompt", 3, "CFG_TYPE"},
                            {4, "/samples/0/continuations/0/n_kv_heads", "8", "CFG_TYPE"},
                            {5, "/stages", Json::array({3}), "CFG_TYPE"},
                            {5, "/recipe", "r.toml", "CFG_TYPE"},
                            {5, "/stages/0/arguments", "eval", "CFG_TYPE"},
                            {5, "/stages/0/inputs", "cc", "CFG_TYPE"},
                            {5, "/stages/0/seconds", "7", "CFG_TYPE"},
                            {6, "/trace", "a.csv", "CFG_TYPE"},
                            {6, "/settings/devices", -1, "CFG_RANGE"},
                            {6, "/options", "all", "CFG_TYPE"},
                            {6, "/options/1/kv_bytes", 5, "CFG_TYPE"},
                            {6, "/options/0/queue_s/p99", "late", "CFG_TYPE"},
                            {5, "/stages/0/fingerprint", 7, "CFG_TYPE"}};
  for (const Change& change : changes) {
    SCOPED_TRACE(change.place);
    const Kind kind = kinds()[change.kind];
    Json bad = kind.written;
    bad[Json::json_pointer(change.place)] = change.value;
    const ErrorInfo error = expect_error(change.code, [&] { kind.again(bad); });
    const std::string place = change.place;
    EXPECT_EQ(error.path, "f.json");
    EXPECT_TRUE(contains(error.message, place.substr(place.rfind('/') + 1)));
  }
}

TEST(Fields, AnAbsentContainerIsEmptyAndAWrongOneIsSaidWithWhatWasFound) {
  const Json json = {{"null", nullptr}, {"text", "a"}, {"object", {{"a", 1}}}, {"list", {"a", 2}}};
  for (const char* key : {"absent", "null"}) {
    EXPECT_TRUE(object_in(json, key, "f.json").empty());
    EXPECT_TRUE(objects_in(json, key, "f.json").empty());
    EXPECT_TRUE(texts_in(json, key, "f.json").empty());
  }
  EXPECT_EQ(object_in(json, "object", "f.json"), json.at("object"));
  EXPECT_EQ(texts_in(json, "list", "f.json"), (std::vector<std::string>{"a", "2"}));
  const auto message = [&](const auto& read) { return expect_error("CFG_TYPE", read).message; };
  EXPECT_EQ(message([&] { object_in(json, "text", "f.json"); }),
            "f.json: \"text\" must be an object, found \"a\"");
  EXPECT_EQ(message([&] { texts_in(json, "object", "f.json"); }),
            "f.json: \"object\" must be a list of texts, found {\"a\":1}");
  EXPECT_EQ(message([&] { objects_in(json, "list", "f.json"); }),
            "f.json: \"list\" must be a list of objects, found [\"a\",2]");
}

TEST(TrainingLog, TheStartIsReadBackAsItWasWritten) {
  const Json written = training_start_json(a_start());
  EXPECT_EQ(written.at("format"), "regroup training-log/1");
  EXPECT_EQ(training_start_json(read_training_log(log_of(written), "m.jsonl").start).dump(2),
            written.dump(2));
  const Json bare = training_start_json({});
  EXPECT_EQ(training_start_json(read_training_log(log_of(bare), "m.jsonl").start), bare);
}

TEST(TrainingLog, StepsAreReadBackAsTheyWereWritten) {
  StepMetrics step{.step = 1, .tokens = 64, .loss = 0.25, .ce = 1.75, .kl = 0.5};
  step.learning_rate = 1e-3;
  step.grad_norm = 2;
  step.tokens_per_s = 128;
  step.step_s = 0.5;
  step.val_loss = 1.5;
  StepMetrics again = step;
  again.loss = 0.125;
  const TrainingLog log =
      read_training_log(log_of(training_start_json(a_start())) + to_json(step).dump() + "\n" +
                            R"({"event": "resume", "step": 0})" + "\n" + to_json(again).dump() +
                            "\n" + R"({"step": 2, "to)",
                        "m.jsonl");
  ASSERT_EQ(log.steps.size(), 1u) << "a resumed run does steps again, and its last line is torn";
  EXPECT_EQ(to_json(log.steps[0]), to_json(again));
  EXPECT_EQ(log.seconds, 1);
  ASSERT_EQ(log.validations.size(), 2u);
  EXPECT_EQ(log.validations[0].loss, 2.5);
  EXPECT_EQ(log.validations[1].tokens, 64);
}

TEST(TrainingLog, RefusesAnotherVersionAndWrongTypes) {
  Json start = training_start_json(a_start());
  start["format"] = "regroup training-log/2";
  const ErrorInfo error =
      expect_error("RESULT_FORMAT", [&] { read_training_log(log_of(start), "m.jsonl"); });
  EXPECT_EQ(error.path, "m.jsonl:1");
  expect_error("CFG_TYPE", [] { read_training_log("{\"step\": \"1\"}\n", "m.jsonl"); });
  expect_error("CFG_TYPE",
               [] { read_training_log("{\"step\": 1, \"loss\": \"low\"}\n", "m.jsonl"); });
}

}  // namespace
}  // namespace regroup::testing
