// Conversations as a chat template writes them down: by hand, and against transformers.
#include "regroup/text/chat_template.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "oracles/oracle.h"
#include "regroup/text/documents.h"
#include "regroup/text/token_stream.h"
#include "regroup/text/tokenizer.h"
#include "support/chat_templates.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer_json.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;

/// A folder with a tokenizer and a chat template.
class ChatFolder {
 public:
  explicit ChatFolder(const std::string& source, const std::string& config = "") {
    folder_.write("tokenizer.json", tiny_tokenizer_json().dump());
    folder_.write("chat_template.jinja", source);
    if (!config.empty()) folder_.write("tokenizer_config.json", config);
  }
  std::string render(const OrderedJson& messages, const std::string& date = "") const {
    const std::string text = messages.dump();
    std::string written;
    const Tokenizer tokenizer = open_tokenizer(folder_.path(), 64, {.chat_date = date});
    return std::string(tokenizer.text_of({text, /*is_chat=*/true, "a.jsonl line 3"}, written));
  }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

std::vector<OrderedJson> conversations() {
  const auto say = [](const char* role, const char* content) {
    return OrderedJson{{"role", role}, {"content", content}};
  };
  return {
      {say("user", "Hello\n"), say("assistant", " Hi! ")},
      {say("system", "Be brief."), say("user", "  1 + 1? \n"), say("assistant", "2"),
       say("user", "Sure? \"quoted\" 'it'"), say("assistant", "<think>\nhm\n</think>\n\nYes.")},
      {say("user", "\u3000h\u00E9llo \U0001F642\u00A0\n"), say("assistant", "")},
      {say("user", "why"), {{"role", "assistant"}, {"reasoning", "because"}, {"content", "so"}}},
      {say("user", "a"), say("user", "b")},
      {say("user", "a"),
       {{"role", "assistant"},
        {"tool_calls",
         {{{"function", {{"name", "f"}, {"arguments", {{"x", 1.5}, {"y", {true, nullptr}}}}}}}}}},
       {{"role", "tool"}, {"content", {{"found", "\u00FC"}, {"n", 2}}}}},
  };
}

/// Conversations that a style does not take, in transformers either: by number, from 0.
constexpr const char* kRefused =
    "ChatML 5\nChatML with a default system text 5\nLlama 2 4\nLlama 2 5\nPhi-3 5\nGemma 1\n"
    "Zephyr 5\n";

TEST(ChatTemplates, GiveTheTextsOfTransformers) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  OrderedJson sources = OrderedJson::array();
  for (const ChatStyle& style : chat_styles()) sources.push_back(style.source);
  const OrderedJson theirs =
      ask_oracle("chat_template.py", temporary,
                 {{"templates", sources},
                  {"conversations", conversations()},
                  {"tokens", {{"bos_token", "<s>"}, {"eos_token", "</s>"}}}});
  ASSERT_EQ(theirs.size(), sources.size());
  std::string refused;
  for (size_t i = 0; i < sources.size(); ++i) {
    const ChatFolder folder(sources[i],
                            R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
    for (size_t j = 0; j < conversations().size(); ++j) {
      SCOPED_TRACE(chat_styles()[i].name + ", conversation " + std::to_string(j));
      if (theirs[i][j].is_string()) {
        EXPECT_EQ(folder.render(conversations()[j]), theirs[i][j].get<std::string>());
        continue;
      }
      EXPECT_ANY_THROW(folder.render(conversations()[j])) << theirs[i][j];
      refused += fmt::format("{} {}\n", chat_styles()[i].name, j);
    }
  }
  EXPECT_EQ(refused, kRefused) << "what transformers' templates refuse";
}

TEST(ChatTemplates, ByHand) {
  const ChatFolder folder("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}");
  EXPECT_EQ(
      folder.render({{{"role", "user"}, {"content", "x"}}, {{"role", "bot"}, {"content", "y"}}}),
      "[user] x[bot] y");
}

TEST(ChatTemplates, WhatBeginsAnAnswerIsThereWhenAskedFor) {
  const ChatFolder folder(
      "{% for m in messages %}{{ m.content }}|{% endfor %}{% if add_generation_prompt %}bot:{% "
      "endif %}");
  const ChatTemplate chat = ChatTemplate::open(folder.folder().path(), "");
  const char* messages = R"([{"role": "user", "content": "x"}])";
  EXPECT_EQ(chat.render(messages, "here"), "x|");
  EXPECT_EQ(chat.render(messages, "here", /*add_generation_prompt=*/true), "x|bot:");
}

// The template's special tokens are tokens, none is put around, and what is told apart from text is no text.
TEST(ChatTemplates, MessagesOfAFileBecomeTokens) {
  const ChatFolder folder("{% for m in messages %}{{ m.content }}<|end|>{% endfor %}");
  const std::string path = folder.folder().write(
      "a.jsonl",
      R"({"messages": [{"role": "user", "content": "ab"}, {"role": "bot", "content": "a"}]})"
      "\n"
      R"({"text": "ab<|end|>"})"
      "\n");
  const Tokenizer tokenizer = open_tokenizer(folder.folder().path(), 64, {});
  const TokenStream stream = read_text_stream(path, tokenizer, {}, 0);
  EXPECT_EQ(stream.ids, (std::vector<int64_t>{3, 6, 0, 6, 3}));
  EXPECT_EQ(stream.bytes, static_cast<int64_t>(std::string("ab<|end|>a<|end|>ab<|end|>").size()));
  const TokenStream cut = read_text_stream(path, tokenizer, {}, 2);
  EXPECT_EQ(cut.ids, (std::vector<int64_t>{3, 6}));
  EXPECT_EQ(cut.bytes, 9);
}

TEST(ChatTemplates, AreTakenFromTheConfigToo) {
  TemporaryFolder folder;
  folder.write("tokenizer.json", tiny_tokenizer_json().dump());
  const auto render = [&](const OrderedJson& config) {
    folder.write("tokenizer_config.json", config.dump());
    std::string written;
    return std::string(
        Tokenizer::open(folder.path()).text_of({R"([{"role": "user"}])", true, "a"}, written));
  };
  EXPECT_EQ(render({{"chat_template", "{{ messages[0].role }}"}}), "user");
  EXPECT_EQ(render({{"chat_template",
                     {{{"name", "tool_use"}, {"template", "t"}},
                      {{"name", "default"}, {"template", "{{ messages|length }}"}}}}}),
            "1");
  expect_error("TPL_TYPE", [&] { render({{"chat_template", 7}}); });
  expect_error("TPL_TYPE", [&] { render({{"chat_template", {{{"name", "x"}}}}}); });
  expect_error("TPL_MISSING", [&] { render(OrderedJson::object()); });
}

TEST(ChatTemplates, WhatIsNotKnownIsRefusedByName) {
  const struct {
    const char* source;
    const char* message;
  } kCases[] = {
      {"\n{{ messages | shuffle }}", "line 2: the filter \"shuffle\" is not known"},
      {"{{ messages is weird }}", "the test \"weird\" is not known"},
      {"{% include '/etc/passwd' %}", "the block \"include\" is not known"},
      {"{{ strftime_now('%d') }}", "today's date (strftime_now)"},
      {"{{ 'x' | trim(of='y') }}", "\"trim\" does not know the argument \"of\""},
      {"{{ {} | tojson(sort_keys=true) }}", "does not know the argument \"sort_keys\""},
      {"{{ namespace(1) }}", "namespace is given what has no name"},
      {"{% macro f(a) %}{% endmacro %}{{ f(b=1) }}", "f does not know the argument \"b\""},
      {"{{ (1 }}", "\")\" is missing before \"}}\""},
      {"{{ 'x'.__class__ }}", ""},
      {"{{ 'x'.format(1) }}", "the method \"format\" of texts is not known"},
      {"{{ ().__class__.__bases__ }}",
       "\"__class__\" is not defined, and has no member \"__bases__\""},
      {"{{ nothing.at_all }}", "\"nothing\" is not defined"},
      {"{{ 1 +", "a tag has no end"},
      {"{{ 'abc }}", "a string has no end"},
      {"{# abc", "a comment has no end"},
      {"{% if true %}", "endif is missing"},
      {"{% endif %}", "\"endif\" ends nothing"},
      {"{{ 1 + 'a' }}", "operands of \"+\" do not go together"},
      {"{{ 1 // 0 }}", "a division by 0"},
      {"{{ $ }}", "\"$\" is not known"},
      {"{{ 1 < 2 < 3 }}", "comparisons in a chain"},
      {"{% break %}", "break stands outside a loop"},
      {"{{ 9223372036854775807 }}", "a number is too large"},
  };
  const OrderedJson messages = {{{"role", "user"}, {"content", "x"}}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.source);
    const ChatFolder folder(c.source);
    if (*c.message == '\0') {
      EXPECT_EQ(folder.render(messages), "");
      continue;
    }
    const std::string found =
        expect_error<UnsupportedError>("TPL_UNSUPPORTED", [&] { folder.render(messages); }).message;
    EXPECT_TRUE(contains(found, c.message)) << found;
    EXPECT_TRUE(contains(found, "chat_template.jinja: the chat template cannot be carried out"));
  }
}

TEST(ChatTemplates, StepsOutputAndDepthAreBounded) {
  const OrderedJson messages = {{{"role", "user"}, {"content", std::string(100'000, 'x')}}};
  const auto code_of = [&](const std::string& source) {
    try {
      ChatFolder(source).render(messages);
    } catch (const Error& error) {
      return error.info().code;
    }
    return std::string();
  };
  EXPECT_EQ(code_of("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"),
            "TPL_BUDGET");
  EXPECT_EQ(code_of("{% for a in range(9999) %}{{ messages[0].content }}{% endfor %}"),
            "TPL_BUDGET");
  EXPECT_EQ(code_of("{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(40) %}"
                    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}"),
            "TPL_BUDGET");
  EXPECT_EQ(code_of("{{ range(10000000000) }}"), "TPL_UNSUPPORTED");
  EXPECT_EQ(code_of("{% macro f(a=f()) %}{% endmacro %}{{ f() }}"), "TPL_UNSUPPORTED");
  for (const char* chain : {"1+", "1*", "1~", "1 and ", "1 or ", "not ", "1 if 1 else ", "1 if "}) {
    std::string longest = "{{ ";
    for (int i = 0; i < 50'000; ++i) longest += chain;
    EXPECT_EQ(code_of(longest + "1 }}"), "TPL_UNSUPPORTED") << chain;
  }
  for (const char* chain : {".a", "|trim", "[0]", "()", " is defined"}) {
    std::string longest = "{{ messages";
    for (int i = 0; i < 50'000; ++i) longest += chain;
    EXPECT_EQ(code_of(longest + " }}"), "TPL_UNSUPPORTED") << chain;
  }
  EXPECT_EQ(code_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), "TPL_UNSUPPORTED");
  EXPECT_EQ(code_of("{{ " + std::string(100'000, '(')), "TPL_UNSUPPORTED");
  EXPECT_EQ(code_of("{{ " + std::string(100'000, '-') + "1 }}"), "TPL_UNSUPPORTED");
  std::string blocks;
  for (int i = 0; i < 10'000; ++i) blocks += "{% if true %}";
  EXPECT_EQ(code_of(blocks), "TPL_UNSUPPORTED");
  EXPECT_EQ(code_of(std::string((1 << 20) + 1, 'x')), "TPL_BUDGET");
}

// The date of today would give the same conversation another text every day; a given one does not.
TEST(ChatTemplates, WriteAGivenDay) {
  const OrderedJson messages = {{{"role", "user"}}};
  const ChatFolder folder("{{ strftime_now('%A, %d %B %Y') }}");
  EXPECT_EQ(folder.render(messages, "2026-01-31"), "Saturday, 31 January 2026");
  for (const char* wrong : {"2026-02-30", "31.1.2026", "2026-1-3", "2026-01-31x", "yesterday"}) {
    expect_error<ConfigError>("FLAG_VALUE", [&] { folder.render(messages, wrong); });
  }
}

TEST(ChatTemplates, TakeTokensOfTheMapWhereTheConfigNamesNone) {
  const ChatFolder folder("{{ bos_token }}|{{ eos_token }}", R"({"eos_token": "E"})");
  folder.folder().write("special_tokens_map.json",
                        R"({"bos_token": {"content": "B"}, "eos_token": "other"})");
  EXPECT_EQ(folder.render({{{"role", "user"}}}), "B|E");
}

TEST(ChatTemplates, SayWhichConversationTheyRefuse) {
  const ChatFolder folder("{{ raise_exception('roles must alternate') }}");
  const ErrorInfo error = expect_error("TPL_MESSAGES", [&] {
    folder.render({{{"role", "user"}}});
  });
  EXPECT_TRUE(contains(error.message,
                       "a.jsonl line 3: the model's chat template refuses a "
                       "conversation: roles must alternate"))
      << error.message;
}

}  // namespace
}  // namespace regroup::testing
