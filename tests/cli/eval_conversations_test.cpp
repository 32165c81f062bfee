// `eval --apply-chat-template`: questions of tasks as turns of a conversation.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "cli_tools.h"
#include "support/tiny_tokenizer_json.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

/// A model whose tokenizer knows the letters a and b, and "<|end|>" as its special token.
class EvalConversations : public ::testing::Test {
 protected:
  static constexpr const char* kTemplate =
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% "
      "endif "
      "%}<|end|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|end|>{% endif %}";

  std::string model(const std::string& name, bool adds_bos, const std::string& chat = kTemplate) {
    const std::string folder = w_.folder / name;
    write_tiny_model(folder, {.n_layers = 1, .vocab_size = 8});
    OrderedJson tokenizer = tiny_tokenizer_json();
    if (adds_bos) tokenizer["post_processor"] = front_template("<|end|>", 6);
    w_.folder.write(name + "/tokenizer.json", tokenizer.dump());
    w_.folder.write(name + "/tokenizer_config.json", R"({"bos_token": "<|end|>"})");
    w_.folder.write(name + "/chat_template.jinja", chat);
    return folder;
  }
  /// The lines of the samples file.
  std::vector<Json> ask(const std::string& model, const std::string& task, Words more = {}) {
    more.insert(more.begin(),
                {"eval", model, "--task", task, "--apply-chat-template", "--samples",
                 w_.folder / "samples.jsonl", "--device", "cpu", "--quiet", "--json"});
    const Finished run = regroup(more);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(Json::parse(run.out).at("config").at("apply_chat_template"), true);
    std::vector<Json> lines;
    std::istringstream text(read_file(w_.folder / "samples.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  Workplace w_;
  std::string task_ =
      w_.folder.write("mine.jsonl",
                      "{\"context\": \"ab a\", \"choices\": [\"a\", \"b ab\"], \"gold\": 0}\n"
                      "{\"context\": \"b\", \"choices\": [\"ab\", \"b\"], \"gold\": 1}\n");
};

// The template's special token is a token: its letters are not in the vocabulary.
TEST_F(EvalConversations, QuestionsAreTurns) {
  const std::vector<Json> lines = ask(model("bare", false), task_);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].at("arguments").at("gen_args_0").at("arg_0"), "<|end|>ab a<|end|>");
  EXPECT_EQ(lines[1].at("arguments").at("gen_args_1").at("arg_0"), "<|end|>b<|end|>");
}

// A text that begins with the BOS is given none: the scores are those without one.
TEST_F(EvalConversations, ASecondBosIsNotPut) {
  const std::string words = w_.folder.write(
      "words.jsonl", "{\"context\": \"ab a\", \"targets\": [\"b\"], \"max_new_tokens\": 6}\n");
  for (const std::string& task : {task_, words}) {
    const auto without = ask(model("bare", false), task);
    const auto with = ask(model("bos", true), task);
    ASSERT_EQ(with.size(), without.size());
    for (size_t i = 0; i < with.size(); ++i) EXPECT_EQ(with[i].at("resps"), without[i].at("resps"));
    const auto other = ask(model("other", true, "{{ messages[0].content + '\\n' }}"), task);
    EXPECT_NE(other[0].at("resps"), with[0].at("resps")) << "here the BOS is the tokenizer's";
  }
}

// Examples are turns of their own, or of the one turn.
TEST_F(EvalConversations, ExamplesAreTurns) {
  const std::string folder = model("bare", false);
  const auto turns = ask(folder, task_, {"--num-fewshot", "1"});
  EXPECT_EQ(turns[0].at("arguments").at("gen_args_0").at("arg_0"),
            "<|end|>b<|end|>b<|end|>ab a<|end|>");
  const auto one = ask(folder, task_, {"--num-fewshot", "1", "--fewshot-as-singleturn"});
  EXPECT_EQ(one[0].at("arguments").at("gen_args_0").at("arg_0"), "<|end|>b b\n\nab a<|end|>");
}

// What the harness's files say of the template.
TEST_F(EvalConversations, TheTemplateIsKept) {
  ask(model("bare", false), task_, {"--harness-out", w_.folder / "harness"});
  std::string results;
  for (const auto& entry : fs::recursive_directory_iterator(w_.folder / "harness")) {
    if (entry.path().filename().string().starts_with("results_")) results = entry.path();
  }
  const Json json = Json::parse(read_file(results));
  EXPECT_EQ(json.at("chat_template"), kTemplate);
}

// A template that refuses a system's turn is given the others; a mistake of its own names the question.
TEST_F(EvalConversations, WhatATemplateRefuses) {
  const std::string broken =
      model("broken", false,
            "{% if messages[0].content == 'b' %}{{ raise_exception('no b') }}{% endif %}");
  const Json error =
      mistake(w_, {"eval", broken, "--task", task_, "--apply-chat-template"}, 3, "TPL_MESSAGES");
  EXPECT_NE(error.at("message").get<std::string>().find("no b"), std::string::npos) << error;
  EXPECT_NE(error.dump().find("question 2 of task mine"), std::string::npos) << error;
}

}  // namespace
}  // namespace regroup::testing
