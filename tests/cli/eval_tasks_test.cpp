// `eval --task`: what users type, and what goes wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "cli_tools.h"
#include "regroup/base/harness_name.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

class EvalTasks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    for (const char* name : {"parent", "other"}) {
      write_tiny_model(w_.folder / name,
                       {.n_layers = 1, .vocab_size = 512, .seed = name[0] == 'p' ? 1u : 2u});
      fs::copy_file(kTokenizer, (w_.folder / name) + "/tokenizer.model");
    }
    std::string records;
    for (int i = 0; i < 12; ++i) {
      records += fmt::format(
          "{{\"context\": \"Tom has {} kites and\", \"choices\": [\"one ball.\", \"no dog.\"], "
          "\"gold\": {}}}\n",
          i, i % 2);
    }
    task_ = w_.folder.write("mine.jsonl", records);
  }

  Finished eval(Words more) const {
    more.insert(more.begin(), {"eval", w_.folder / "parent"});
    more.insert(more.end(), {"--device", "cpu", "--threads", "1", "--quiet", "--json"});
    return regroup(more);
  }

  Workplace w_;
  std::string task_;
};

TEST_F(EvalTasks, ScoresStandUnderTheTasksName) {
  const Finished run =
      eval({"--task", task_, "--out", w_.folder / "r.json", "--samples", w_.folder / "s.jsonl"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json row = Json::parse(run.out).at("results").at("mine");
  EXPECT_TRUE(row.at("acc,none").is_number());
  EXPECT_EQ(row.at("sample_len"), 12);
  const Json written = Json::parse(run.out);
  EXPECT_EQ(written.at("config").at("batch_size"), "auto");
  EXPECT_EQ(written.at("configs").at("mine").at("batch_tokens"), 4096);
  const std::string samples = read_file(w_.folder / "s.jsonl");
  EXPECT_EQ(std::count(samples.begin(), samples.end(), '\n'), 12);
  EXPECT_FALSE(path_exists((w_.folder / "r.json") + ".partial"));
  const Finished report =
      regroup({"report", w_.folder / "r.json", "--out", w_.folder / "report.md", "--quiet"});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  EXPECT_NE(read_file(w_.folder / "report.md").find("| mine, 0-shot | acc ↑ | 12 |"),
            std::string::npos)
      << read_file(w_.folder / "report.md");
}

/// Files of `folder` whose names begin with `front`.
std::vector<std::string> files_in(const std::string& folder, const std::string& front) {
  std::vector<std::string> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(front)) files.push_back(entry.path());
  }
  return files;
}

TEST_F(EvalTasks, FilesOfTheHarnessForEachModel) {
  const std::string out = w_.folder / "harness";
  const Finished run =
      eval({w_.folder / "other", "--task", task_, "--baseline", w_.folder / "parent",
            "--harness-out", out, "--out", w_.folder / "r.json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json models = Json::parse(run.out).at("models");
  Words report = {"report", w_.folder / "r.json", "--quiet", "--out", w_.folder / "report.md"};
  for (size_t m = 0; m < 2; ++m) {
    const std::string folder = out + "/" + harness_file_name(models[m].at("model_name"));
    const auto results = files_in(folder, "results_");
    const auto samples = files_in(folder, "samples_mine_");
    ASSERT_EQ(results.size(), 1u);
    ASSERT_EQ(samples.size(), 1u);
    const Json file = Json::parse(read_file(results[0]));
    for (const char* key : {"acc,none", "acc_stderr,none", "acc_norm,none", "sample_len"}) {
      EXPECT_EQ(file.at("results").at("mine").at(key), models[m].at("results").at("mine").at(key));
    }
    EXPECT_EQ(file.at("task_hashes").size(), 1u);
    EXPECT_EQ(file.at("max_length"), 128);
    EXPECT_EQ(file.at("config").at("batch_size"), "auto");
    EXPECT_TRUE(file.at("chat_template").is_null());
    const std::string lines = read_file(samples[0]);
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 12);
    report.insert(report.end(), {results[0], samples[0]});
  }
  const Finished made = regroup(report);
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::string page = read_file(w_.folder / "report.md");
  EXPECT_NE(page.find("| before | "), std::string::npos) << page;
  EXPECT_NE(page.find("/other |\n"), std::string::npos) << "one column for each\n" << page;
  EXPECT_NE(page.find("/other | 12 | "), std::string::npos) << page;
}

// The same model asked alone and beside another, with a text, in another order: the same scores.
TEST_F(EvalTasks, CompanyDoesNotChangeAScore) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += fmt::format("Tom has {} kites and one ball. ", i);
  const std::string valid = w_.folder.write("valid.txt", text);
  const std::string more = w_.folder.write(
      "more.jsonl", "{\"context\": \"to be or not to\", \"continuation\": \"be\"}\n");
  const Json alone = Json::parse(eval({"--task", task_}).out);
  const Finished run = eval({w_.folder / "other", "--baseline", w_.folder / "parent", "--text",
                             valid, "--seq-len", "16", "--task", more, task_});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json both = Json::parse(run.out);
  EXPECT_EQ(both.at("models")[0].at("results").at("mine"), alone.at("results").at("mine"));
  EXPECT_TRUE(both.at("models")[1].at("results").at("more").contains("perplexity,none"));
  EXPECT_TRUE(both.at("models")[1].at("results").at("valid").contains("kl,none"));
}

TEST_F(EvalTasks, SmallBatchesAndExamples) {
  const Finished run =
      eval({"--task", task_, "--num-fewshot", "2", "--batch-size", "1", "--limit", "3"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result.at("n-shot").at("mine"), 2);
  EXPECT_EQ(result.at("config").at("batch_size"), 1);
  EXPECT_EQ(result.at("n-samples").at("mine"), Json({{"original", 12}, {"effective", 3}}));
}

TEST_F(EvalTasks, AnswersInWords) {
  const std::string asked = w_.folder.write(
      "words.jsonl",
      "{\"context\": \"Tom has\", \"targets\": [\"a kite\"], \"until\": [\"q\"], "
      "\"max_new_tokens\": 5}\n"
      "{\"context\": \"One\", \"targets\": [\"ball\", \"dog\"], \"max_new_tokens\": 5}\n");
  const Finished run = eval({"--task", asked, "--samples", w_.folder / "s.jsonl"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json row = Json::parse(run.out).at("results").at("words");
  for (const char* metric : {"exact_match,none", "f1,none", "rougeL,none", "bleu,none"}) {
    EXPECT_TRUE(row.at(metric).is_number()) << metric;
  }
  const std::string samples = read_file(w_.folder / "s.jsonl");
  const Json first = Json::parse(samples.substr(0, samples.find('\n')));
  const std::string answer = first.at("filtered_resps")[0];
  EXPECT_EQ(answer.find('q'), std::string::npos);
  const Finished said =
      regroup({"generate", w_.folder / "parent", "--prompt", "Tom has", "--max-new-tokens", "5",
               "--temperature", "0", "--device", "cpu", "--threads", "1", "--json", "--quiet"});
  const std::string whole = Json::parse(said.out).at("text");
  EXPECT_EQ(answer, whole.substr(0, whole.find('q'))) << "what generate says";
  EXPECT_EQ(mistake(w_,
                    {"eval", w_.folder / "parent", "--task",
                     w_.folder.write("long.jsonl", "{\"context\": \"x\", \"targets\": [\"y\"]}\n")},
                    2, "TASK_TOO_LONG")
                .at("message"),
            "an answer of 256 tokens must leave room in the model's context of 128");
}

/// Three questions; the second has a choice that is longer than the model's 128 positions.
std::string with_a_long_choice() {
  std::string words;
  for (int i = 0; i < 200; ++i) words += "kite ";
  std::string records;
  for (int i = 0; i < 3; ++i) {
    records += Json({{"context", fmt::format("Tom has {} kites and", i)},
                     {"choices", {i == 1 ? words + "ball." : "one ball.", "no dog."}},
                     {"gold", 0}})
                   .dump() +
               "\n";
  }
  return records;
}

// lm-evaluation-harness ends at an assertion there.
TEST_F(EvalTasks, AQuestionThatIsTooLongIsLeftOutForAllModels) {
  const std::string asked = w_.folder.write("mixed.jsonl", with_a_long_choice());
  write_tiny_model(w_.folder / "longer", {.n_layers = 1, .vocab_size = 512, .max_positions = 4096});
  fs::copy_file(kTokenizer, (w_.folder / "longer") + "/tokenizer.model");
  const Words common = {"--task", asked, "--device", "cpu", "--threads", "1", "--json"};
  Words words = {"eval",      w_.folder / "parent", "--baseline", w_.folder / "longer",
                 "--samples", w_.folder / "s.jsonl"};
  words.insert(words.end(), common.begin(), common.end());
  const Finished run = regroup(words);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.err.find("1 of 3 questions are left out of all models' scores"), run.err.npos)
      << run.err;
  EXPECT_NE(run.err.find("doc_id 1 ("), run.err.npos) << run.err;
  EXPECT_NE(run.err.find("100 %  4 of 4 requests, "), run.err.npos) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result.at("n-samples").at("mixed"), Json({{"original", 3}, {"effective", 2}}));
  EXPECT_EQ(result.at("regroup").at("left_out"), Json({{"mixed", {1}}}));
  EXPECT_EQ(result.at("regroup").at("paired").at("mixed").at("acc").at("items"), 2);
  const std::string samples = read_file(w_.folder / "s.jsonl");
  EXPECT_NE(samples.find("\"doc_id\":2"), samples.npos) << samples;
  // The one that can take it is asked all of it by itself.
  words = {"eval", w_.folder / "longer"};
  words.insert(words.end(), common.begin(), common.end());
  const Json alone = Json::parse(regroup(words).out);
  EXPECT_EQ(alone.at("n-samples").at("mixed").at("effective"), 3);
  EXPECT_FALSE(alone.at("regroup").contains("left_out"));
}

TEST_F(EvalTasks, ATaskWithoutAQuestionThatFitsIsRefused) {
  const std::string records = with_a_long_choice();
  const size_t first = records.find('\n') + 1;
  const std::string one =
      w_.folder.write("one.jsonl", records.substr(first, records.find('\n', first) - first));
  const std::string message =
      mistake(w_, {"eval", w_.folder / "parent", "--task", one}, 3, "TASK_TOO_LONG").at("message");
  EXPECT_NE(message.find("question 1 has one of"), message.npos) << message;
}

TEST_F(EvalTasks, AnAnswerThatMayFillTheContextIsLeftOut) {
  const std::string asked =
      w_.folder.write("words.jsonl",
                      "{\"context\": \"Tom has\", \"targets\": [\"a kite\"]}\n"
                      "{\"context\": \"One\", \"targets\": [\"ball\"], \"max_new_tokens\": 5}\n");
  const Finished run = eval({"--task", asked, "--samples", w_.folder / "s.jsonl"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json result = Json::parse(run.out);
  EXPECT_EQ(result.at("n-samples").at("words"), Json({{"original", 2}, {"effective", 1}}));
  EXPECT_EQ(result.at("regroup").at("left_out"), Json({{"words", {0}}}));
}

TEST_F(EvalTasks, ProbesByLengthAndDepth) {
  const Finished run =
      eval({w_.folder / "other", "--baseline", w_.folder / "parent", "--probe", "repeated_tokens",
            "mqar", "--probe-trials", "3", "--out", w_.folder / "r.json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json models = Json::parse(run.out).at("models");
  const Json& cells = models[1].at("results").at("repeated_tokens").at("cells");
  EXPECT_EQ(models[1].at("config").at("batch_size"), "auto");
  EXPECT_EQ(models[1].at("configs").at("mqar").at("batch_tokens"), 4096);
  ASSERT_EQ(cells.size(), 2u);  // 16 and 32 tokens twice: of 128 positions
  EXPECT_EQ(cells[0].at("count"), 16);
  EXPECT_EQ(cells[0].at("trials"), 3);
  EXPECT_LT(cells[0].at("log_prob").get<double>(), 0);
  EXPECT_TRUE(models[1].at("regroup").at("probes").at("mqar").contains("log_prob_delta"));
  EXPECT_FALSE(models[0].at("regroup").at("probes").at("mqar").contains("log_prob_delta"));
  const Finished report =
      regroup({"report", w_.folder / "r.json", "--out", w_.folder / "r.html", "--quiet"});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  EXPECT_NE(read_file(w_.folder / "r.html").find("Recall: mqar"), std::string::npos);
  EXPECT_EQ(mistake(w_, {"eval", w_.folder / "parent", "--probe", "paskey"}, 2, "PROBE_UNKNOWN")
                .at("hint"),
            "did you mean passkey?");
  mistake(w_,
          {"eval", w_.folder / "parent", "--probe", "copy", "--task",
           w_.folder.write("copy.jsonl", "{\"context\": \"x\", \"continuation\": \"y\"}\n")},
          2, "FLAG_VALUE");
}

TEST_F(EvalTasks, NeedlesAreHiddenInATextOfTheUsers) {
  const std::string text = w_.folder.write("essay.txt", "A b. C d! E f?");
  // The questions alone are longer than the model's 128 positions.
  const auto ask = [&](const Words& more) {
    Words arguments = {
        "--probe", "niah_essay", "niah_multikey", "--probe-trials", "2", "--probe-max-length",
        "512"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished run = eval(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Json::parse(run.out);
  };
  const Json with = ask({"--probe-text", text});
  const Json& config = with.at("configs").at("niah_essay");
  EXPECT_EQ(config.at("haystack"), "text");
  EXPECT_EQ(config.at("haystack_stands_in"), false);
  EXPECT_EQ(config.at("haystack_text").at("name"), "essay.txt");
  EXPECT_EQ(config.at("haystack_text").at("sentences"), 3);
  EXPECT_EQ(with.at("configs").at("niah_multikey").at("haystack"), "needles");
  const Json without = ask({});
  EXPECT_EQ(without.at("configs").at("niah_essay").at("haystack"), "noise");
  EXPECT_EQ(without.at("configs").at("niah_essay").at("haystack_stands_in"), true);
  EXPECT_NE(without.at("results").at("niah_essay").at("log_prob,none"),
            with.at("results").at("niah_essay").at("log_prob,none"));
  EXPECT_EQ(without.at("results").at("niah_multikey"), with.at("results").at("niah_multikey"));
}

TEST_F(EvalTasks, AProbeTextThatNoProbeUsesIsRefused) {
  const std::string text = w_.folder.write("essay.txt", "A b. C d! E f?");
  const Json error = mistake(
      w_, {"eval", w_.folder / "parent", "--probe", "copy", "passkey", "--probe-text", text}, 2,
      "FLAG_VALUE");
  EXPECT_EQ(error.at("message"),
            "--probe-text needs a --probe that hides its needles in a text: niah_essay, "
            "niah_essay_multikey, niah_essay_uuid, niah_multiquery, niah_multivalue; found copy, "
            "passkey");
  mistake(w_, {"eval", w_.folder / "parent", "--text", text, "--probe-text", text}, 2,
          "FLAG_VALUE");
  mistake(w_,
          {"eval", w_.folder / "parent", "--probe", "niah_essay", "--probe-text",
           w_.folder.write("essay.bin", "a b.")},
          4, "TEXT_KIND");
}

TEST_F(EvalTasks, DifferencesFromTheBaseline) {
  const Finished run =
      eval({w_.folder / "other", "--baseline", w_.folder / "parent", "--task", task_});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json models = Json::parse(run.out).at("models");
  EXPECT_FALSE(models[0].at("regroup").contains("paired"));
  const Json& found = models[1].at("regroup").at("paired").at("mine").at("acc");
  const double delta = models[1].at("results").at("mine").at("acc,none").get<double>() -
                       models[0].at("results").at("mine").at("acc,none").get<double>();
  EXPECT_NEAR(found.at("delta").get<double>(), delta, 1e-12);
  EXPECT_NEAR(
      (found.at("wrong_to_right").get<double>() - found.at("right_to_wrong").get<double>()) / 12,
      delta, 1e-12);
  EXPECT_LE(found.at("ci95")[0], found.at("delta"));
  EXPECT_GE(found.at("ci95")[1], found.at("delta"));
}

TEST_F(EvalTasks, Mistakes) {
  const std::string parent = w_.folder / "parent";
  const auto refused = [&](Words more, int exit_code, const char* code) {
    Words line = {"eval", parent};
    line.insert(line.end(), more.begin(), more.end());
    return mistake(w_, line, exit_code, code);
  };
  EXPECT_EQ(refused({"--task", "hellaswagg"}, 2, "TASK_UNKNOWN").at("hint"),
            "did you mean hellaswag?");
  refused({"--task", "piqa"}, 2, "TASK_DATA");
  refused({"--task", "piqa", "--task-data", w_.folder.path()}, 2, "TASK_DATA");
  refused({"--task", w_.folder / "none.jsonl"}, 3, "IO_READ_ERROR");
  refused({"--task", task_, task_}, 2, "FLAG_VALUE");
  refused({"--task", task_, "--limit", "0"}, 2, "FLAG_VALUE");
  refused({"--task", task_, "--num-fewshot", "-1"}, 2, "FLAG_VALUE");
  refused({"--task", task_, "--num-fewshot", "50"}, 3, "TASK_SHOTS");
  refused({"--task", task_, "--bos-mode", "none"}, 2, "FLAG_VALUE");
  refused({"--task", task_, "--samples", task_}, 2, "OUTPUT_IS_INPUT");
  refused({"--task", task_, "--samples", w_.out, "--out", w_.out}, 2, "FLAG_VALUE");
  refused({"--samples", w_.out, "--tokens", "x.bin"}, 2, "FLAG_VALUE");
  refused({"--task", task_, "--harness-out", task_}, 2, "OUTPUT_NOT_FOLDER");
  refused({"--task", task_, "--harness-out", w_.folder / "no/where"}, 2, "OUTPUT_PARENT");
  refused({"--task", task_, "--harness-out", parent}, 2, "OUTPUT_IS_INPUT");
  refused({parent, "--task", task_, "--harness-out", w_.out}, 2, "OUTPUT_NAME");
  refused({}, 2, "FLAG_MISSING");
  const std::string bad =
      w_.folder.write("bad.jsonl", "{\"context\": \"x\", \"choices\": [\"a\"], \"gold\": 1}\n");
  const Json error = refused({"--task", bad}, 3, "TASK_SCHEMA");
  EXPECT_TRUE(error.at("path").get<std::string>().ends_with("bad.jsonl line 1"));
}

// In a narrow terminal a value stands beside the name of its metric.
TEST_F(EvalTasks, NarrowTablesNameWhatTheyShow) {
  const Words command = {"eval", w_.folder / "parent", "--task", task_,    "--device",
                         "cpu",  "--threads",          "1",      "--quiet"};
  const std::string wide = regroup(command).out;
  const size_t dashes = wide.find("---");
  ASSERT_NE(dashes, std::string::npos) << wide;
  const size_t width = wide.find('\n', dashes) - dashes;
  ::setenv("COLUMNS", std::to_string(width - 1).c_str(), 1);
  const std::string folded = regroup(command).out;
  ::unsetenv("COLUMNS");
  const size_t value = folded.find("value");
  ASSERT_NE(value, std::string::npos) << folded;
  const size_t line = folded.rfind('\n', value);
  ASSERT_NE(line, std::string::npos) << "in a second table: " << folded;
  EXPECT_TRUE(contains(folded.substr(line, value - line), "metric")) << folded;
}

TEST_F(EvalTasks, AChatTemplateMustBeThere) {
  const Json plain = Json::parse(eval({"--task", task_}).out);
  EXPECT_EQ(plain.at("config").at("apply_chat_template"), false);
  mistake(w_, {"eval", w_.folder / "parent", "--task", task_, "--apply-chat-template"}, 3,
          "TPL_MISSING");
  mistake(w_, {"eval", w_.folder / "parent", "--task", task_, "--fewshot-as-singleturn"}, 2,
          "FLAG_CONFLICT");
}

}  // namespace
}  // namespace regroup::testing
