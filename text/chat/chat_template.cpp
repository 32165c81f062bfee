#include "regroup/text/chat_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "template_parser.h"
#include "template_run.h"

namespace regroup {
namespace {

constexpr int64_t kMaxTemplate = 1 << 20;
constexpr JsonLimits kMessages{.bytes = 16 << 20};

[[noreturn]] void wrong_type(const std::string& path, const std::string& found) {
  throw CheckpointError({.code = "TPL_TYPE",
                         .message = fmt::format("chat_template must be a text, or a list of named "
                                                "texts of which one is \"default\", found {}",
                                                printable(found, 80)),
                         .path = path,
                         .hint = "correct the file, or fetch it again"});
}

void require_size(int64_t bytes, const std::string& path) {
  if (bytes <= kMaxTemplate) return;
  throw CheckpointError(
      {.code = "TPL_BUDGET",
       .message =
           fmt::format("a chat template must have at most {} bytes, found {}", kMaxTemplate, bytes),
       .path = path,
       .hint = "is this the model's chat template?"});
}

/// A template, or the default one of several.
std::string source_of(const Json& given, const std::string& path) {
  if (given.is_string()) return given.get<std::string>();
  if (!given.is_array()) wrong_type(path, given.dump());
  for (const Json& one : given) {
    const bool named = one.is_object() && one.contains("name") && one.contains("template");
    if (!named || one["name"] != "default") continue;
    if (one["template"].is_string()) return one["template"].get<std::string>();
  }
  wrong_type(path, given.dump());
}

/// Adds tokens that a template may name and that are not known yet, as transformers hands them on.
void add_special_tokens(const std::string& path, chat::Value::Members& globals) {
  if (!path_exists(path)) return;
  const Json config = read_strict_json(path, kTokenizerConfigJson);
  if (!config.is_object()) return;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const auto found = config.find(key);
    if (found == config.end() || globals.contains(key)) continue;
    if (found->is_string()) globals[key] = *found;
    const bool described = found->is_object() && found->contains("content");
    if (described && (*found)["content"].is_string()) globals[key] = (*found)["content"];
  }
}

/// transformers gives what a message reasons the names that templates read.
void name_reasoning(Json& messages) {
  for (Json& message : messages) {
    if (!message.is_object()) continue;
    Json reasoning;
    for (const char* key : {"reasoning_content", "reasoning", "thinking"}) {
      if (reasoning.is_null() && message.contains(key)) reasoning = message[key];
    }
    if (reasoning.is_null()) continue;
    if (!message.contains("thinking")) message["thinking"] = reasoning;
    message["reasoning_content"] = reasoning;
  }
}

}  // namespace

struct ChatTemplate::Parts {
  std::string path;
  std::string source;
  std::string date;
  chat::Nodes nodes;
  chat::Value::Members globals;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::open(const std::string& folder, const std::string& date) {
  auto parts = std::make_unique<Parts>();
  parts->date = date;
  const std::string config_path = folder + "/tokenizer_config.json";
  Json config = Json::object();
  if (path_exists(config_path)) config = read_strict_json(config_path, kTokenizerConfigJson);
  if (!config.is_object()) wrong_type(config_path, config.dump());
  std::string& source = parts->source;
  parts->path = folder + "/chat_template.jinja";
  if (path_exists(parts->path)) {
    const InputFile file(parts->path);
    require_size(file.size(), parts->path);
    source = file.read_all();
  } else {
    parts->path = config_path;
    const auto given = config.find("chat_template");
    if (given == config.end() || given->is_null()) {
      throw CheckpointError(
          {.code = "TPL_MISSING",
           .message = "conversations need the model's chat template, found neither "
                      "chat_template.jinja nor \"chat_template\" in tokenizer_config.json",
           .path = folder,
           .hint = "put the chat template of the model into the folder, or give the text of the "
                   "conversations"});
    }
    source = source_of(*given, parts->path);
  }
  require_size(static_cast<int64_t>(source.size()), parts->path);
  add_special_tokens(config_path, parts->globals);
  add_special_tokens(folder + "/special_tokens_map.json", parts->globals);
  parts->globals["tools"] = Json();
  parts->globals["documents"] = Json();
  parts->nodes = chat::parse_template(source, parts->path);
  return ChatTemplate(std::move(parts));
}

const std::string& ChatTemplate::source() const { return parts_->source; }

std::string ChatTemplate::render(std::string_view messages, const std::string& where,
                                 bool add_generation_prompt) const {
  chat::Value::Members globals = parts_->globals;
  globals["add_generation_prompt"] = Json(add_generation_prompt);
  Json read = parse_strict_json(messages, where, kMessages);
  name_reasoning(read);
  globals["messages"] = std::move(read);
  return chat::TemplateRun({parts_->path, where, parts_->date}, std::move(globals))
      .print(parts_->nodes);
}

}  // namespace regroup
