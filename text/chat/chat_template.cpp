#include "chat_template.h"

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
constexpr JsonLimits kMessages{.bytes = 64 << 20};

[[noreturn]] void wrong_type(const std::string& path, const std::string& found) {
  throw CheckpointError({.code = "TPL_TYPE",
                         .message = fmt::format("chat_template must be a text, or a list of named "
                                                "texts of which one is \"default\", found {}",
                                                printable(found, 80)),
                         .path = path,
                         .hint = "correct the file, or fetch it again"});
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

/// The tokens that a template may name, as transformers hands them on.
void add_special_tokens(const Json& config, chat::Value::Members& globals) {
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const auto found = config.find(key);
    if (found == config.end()) continue;
    if (found->is_string()) globals[key] = *found;
    const bool described = found->is_object() && found->contains("content");
    if (described && (*found)["content"].is_string()) globals[key] = (*found)["content"];
  }
}

}  // namespace

struct ChatTemplate::Parts {
  std::string path;
  chat::Nodes nodes;
  chat::Value::Members globals;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::open(const std::string& folder) {
  auto parts = std::make_unique<Parts>();
  const std::string config_path = folder + "/tokenizer_config.json";
  Json config = Json::object();
  if (path_exists(config_path)) config = read_strict_json(config_path, kTokenizerConfigJson);
  if (!config.is_object()) wrong_type(config_path, config.dump());
  std::string source;
  parts->path = folder + "/chat_template.jinja";
  if (path_exists(parts->path)) {
    source = InputFile(parts->path).read_all();
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
  if (static_cast<int64_t>(source.size()) > kMaxTemplate) {
    throw CheckpointError(
        {.code = "TPL_BUDGET",
         .message = fmt::format("a chat template must have at most {} bytes, found {}",
                                kMaxTemplate, source.size()),
         .path = parts->path});
  }
  add_special_tokens(config, parts->globals);
  parts->globals["add_generation_prompt"] = Json(false);
  parts->globals["tools"] = Json();
  parts->globals["documents"] = Json();
  parts->nodes = chat::parse_template(source, parts->path);
  return ChatTemplate(std::move(parts));
}

std::string ChatTemplate::render(std::string_view messages, const std::string& where) const {
  chat::Value::Members globals = parts_->globals;
  globals["messages"] = parse_strict_json(messages, where, kMessages);
  return chat::TemplateRun({parts_->path, where}, std::move(globals)).print(parts_->nodes);
}

}  // namespace regroup
