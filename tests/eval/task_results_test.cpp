// Results and samples of tasks, key for key as lm-evaluation-harness writes them.
#include "regroup/eval/task_results.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

class Results : public ::testing::Test {
 protected:
  std::string samples(const std::string& model) const {
    std::string lines;
    write_task_samples(evaluated_, 0, model, [&](std::string_view line) { lines += line; });
    return lines;
  }
  Results() {
    const std::string path = folder_.write(
        "mine.jsonl",
        "{\"id\": 1, \"context\": \"A\\nA:\", \"choices\": [\"x\", \"yy\"], \"gold\": 0}\n"
        "{\"id\": 2, \"context\": \"B\", \"choices\": [\"é\", \"z\"], \"gold\": 1}\n");
    evaluated_.task = open_task(path, {});
    evaluated_.answers = {
        {.scores = {{{-12.5, false}, {-13, false}}, {{-2, true}, {-3.25, false}}}}};
    evaluated_.truncated = {3};
  }
  Json results() {
    ModelResult model;
    add_task_results(model, 0, {evaluated_}, {.limit = 2, .bootstrap_iterations = 10});
    return model_result_json(model);
  }
  TemporaryFolder folder_;
  EvaluatedTask evaluated_;
};

TEST_F(Results, Rows) {
  const Json model = results();
  const Json& row = model.at("results").at("mine");
  EXPECT_EQ(row.at("alias"), "mine");
  EXPECT_EQ(row.at("sample_len"), 2);
  EXPECT_EQ(row.at("acc,none"), 0.5);
  EXPECT_EQ(row.at("acc_stderr,none"), 0.5);  // of 1 and 0: sqrt(0.5) / sqrt(2)
  EXPECT_EQ(row.at("acc_norm,none"), 0.0);    // -12.5 against -6.5, -2 against -3.25
  EXPECT_EQ(row.at("acc_bytes,none"), 0.0);   // -1 against -3.25
  EXPECT_EQ(model.at("n-samples").at("mine"), Json({{"original", 2}, {"effective", 2}}));
  EXPECT_EQ(model.at("n-shot").at("mine"), 0);
  EXPECT_EQ(model.at("higher_is_better").at("mine").at("acc_norm"), true);
  EXPECT_EQ(model.at("configs").at("mine").at("output_type"), "multiple_choice");
  EXPECT_EQ(model.at("config").at("limit"), 2);
  EXPECT_EQ(model.at("regroup").at("truncated_requests").at("mine"), 3);
}

TEST_F(Results, OneItemHasNoStandardError) {
  evaluated_.task = open_task(folder_ / "mine.jsonl", {.limit = 1});
  evaluated_.answers[0].scores.resize(1);
  EXPECT_EQ(results().at("results").at("mine").at("acc_stderr,none"), "N/A");
}

TEST_F(Results, GroupsSayWhatTheirTasksShare) {
  std::string records;
  for (const char* subject : {"anatomy", "virology"}) {
    records += Json({{"question", "Who?"},
                     {"subject", subject},
                     {"choices", {"a", "b", "c", "d"}},
                     {"answer", 1}})
                   .dump() +
               "\n";
  }
  folder_.write("mmlu.jsonl", records);
  evaluated_.task = open_task("mmlu", {.folder = folder_.path()});
  evaluated_.answers[0].scores = {{{-1, true}, {-2, true}, {-3, true}, {-4, true}},
                                  {{-2, true}, {-1, true}, {-3, true}, {-4, true}}};
  const Json model = results();
  EXPECT_EQ(model.at("group_subtasks").at("mmlu"), Json({"mmlu_other", "mmlu_stem"}));
  EXPECT_EQ(model.at("group_subtasks").at("mmlu_stem"), Json::array({"mmlu_anatomy"}));
  EXPECT_EQ(model.at("n-shot").at("mmlu"), 0);
  EXPECT_EQ(model.at("higher_is_better").at("mmlu").at("acc"), true);
  EXPECT_EQ(model.at("groups").at("mmlu").at("acc,none"), 0.5);
  const std::string lines = samples("m");
  EXPECT_EQ(Json::parse(lines.substr(0, lines.find('\n'))).at("task"), "mmlu_anatomy");
}

TEST_F(Results, SamplesHaveTheHarnessesKeys) {
  const std::string lines = samples("out/g2");
  const Json second = Json::parse(lines.substr(lines.find('\n') + 1));
  EXPECT_EQ(second.at("doc_id"), 1);
  EXPECT_EQ(second.at("doc").at("id"), 2);
  EXPECT_EQ(second.at("target"), "1");
  EXPECT_EQ(second.at("arguments").at("gen_args_1"), Json({{"arg_0", "B"}, {"arg_1", " z"}}));
  EXPECT_EQ(second.at("resps"), Json::parse(R"([[["-2.0", "True"]], [["-3.25", "False"]]])"));
  EXPECT_EQ(second.at("filtered_resps"), Json::parse(R"([["-2.0", "True"], ["-3.25", "False"]])"));
  EXPECT_EQ(second.at("metrics"), Json({"acc", "acc_norm", "acc_bytes"}));
  EXPECT_EQ(second.at("acc"), 0.0);
  EXPECT_EQ(second.at("model"), "out/g2");
  // Printed by Python: sha256 of json.dumps(doc, indent=2, ensure_ascii=False), of "B" and of "1".
  EXPECT_EQ(second.at("doc_hash"),
            "83c37ca29d8e48e1b2a1047c264411e5568acff7879e32a308c647f3608bc734");
  EXPECT_EQ(second.at("prompt_hash"),
            "df7e70e5021544f4834bbee64a9e3789febc4be81470df629cad6ddb03320a5c");
  EXPECT_EQ(second.at("target_hash"),
            "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
}

}  // namespace
}  // namespace regroup::testing
