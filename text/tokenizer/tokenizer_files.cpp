#include "tokenizer_files.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>

#include "part_errors.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/placeholder.h"
#include "regroup/base/strict_json.h"

namespace regroup {

const char* const kTokenizeElsewhere =
    "tokenize the text with the tool it came from, into a token file (docs/formats.md), for "
    "convert `calibration`, compare `text`, eval `tokens` and uptrain `data`";

namespace {

constexpr int64_t kMaxModelBytes = 256 << 20;

[[noreturn]] void refuse_kind(const std::string& path, const std::string& found) {
  throw UnsupportedError(
      {.code = "TOK_UNSUPPORTED",
       .message =
           "only tokenizer.json and SentencePiece's tokenizer.model are read, found " + found,
       .path = path,
       .hint = kTokenizeElsewhere});
}

/// True for lines of a token in base64 and its rank, as the vocabularies of tiktoken are.
bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return false;
  constexpr std::string_view kBase64 =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  const std::string_view rank = line.substr(space + 1);
  return line.substr(0, space).find_first_not_of(kBase64) == std::string_view::npos &&
         rank.find_first_not_of("0123456789\r") == std::string_view::npos && !rank.empty();
}

/// The whole object of a file that may be absent.
Json read_object(const std::string& path) {
  if (!path_exists(path)) return Json::object();
  Json root = read_strict_json(path, kTokenizerConfigJson);
  if (!root.is_object()) {
    throw CheckpointError(
        {.code = "CFG_NOT_OBJECT", .message = "must be a JSON object", .path = path});
  }
  return root;
}

/// A token is its text, or an object that holds it.
std::optional<std::string> token_text(const Json& root, const char* key) {
  const auto value = root.find(key);
  if (value == root.end()) return std::nullopt;
  if (value->is_null()) return "";
  const Json& text =
      value->is_object() && value->contains("content") ? (*value)["content"] : *value;
  // Old conversions of Llama have "" for each token: nothing is said.
  const bool named = text.is_string() && !text.get_ref<const std::string&>().empty();
  return named ? std::optional(text.get<std::string>()) : std::nullopt;
}

/// An id, or -1.
int32_t parse_id(const std::string& text) {
  int32_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() && end == text.data() + text.size() ? id : -1;
}

void add_listed(const Json& root, TokenizerSettings& settings) {
  for (const auto& [text, id] : root.items()) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
    if (fits) settings.added[id.get<int32_t>()] = text;
  }
}

void add_decoder(const Json& root, TokenizerSettings& settings) {
  const auto decoder = root.find("added_tokens_decoder");
  if (decoder == root.end() || !decoder->is_object()) return;
  for (const auto& [key, token] : decoder->items()) {
    const int32_t id = parse_id(key);
    if (id < 0 || !token.is_object()) continue;
    if (const auto text = token_text(token, "content")) settings.added[id] = *text;
  }
}

}  // namespace

std::string read_tokenizer_model(const std::string& folder) {
  const std::string path = folder + "/tokenizer.model";
  if (!path_exists(path)) {
    for (const char* other : {"tekken.json", "vocab.json", "vocab.txt", "spiece.model"}) {
      if (path_exists(folder + "/" + other)) refuse_kind(folder, fmt::format("{} alone", other));
    }
    throw CheckpointError({.code = "TOK_MISSING",
                           .message = "must hold tokenizer.json or tokenizer.model to read text",
                           .path = folder,
                           .hint = "copy the tokenizer files into the folder, or give token files "
                                   "(docs/formats.md) where a command takes them"});
  }
  const InputFile file(path);
  if (file.size() > kMaxModelBytes) {
    wrong_part(path, "LIMIT_FILE_SIZE",
               fmt::format("must have at most {} bytes, found {}", kMaxModelBytes, file.size()));
  }
  std::string bytes = file.read_all();
  if (is_tiktoken(bytes)) refuse_kind(path, "a vocabulary of tiktoken, as Llama 3 has");
  const auto placeholder = find_placeholder(bytes);
  if (!placeholder) return bytes;
  throw CheckpointError(
      {.code = "TOK_PROTO",
       .message = fmt::format("must be a SentencePiece model, but this is {}", placeholder->what),
       .path = path,
       .hint = placeholder->hint});
}

TokenizerSettings read_tokenizer_settings(const std::string& folder) {
  const std::string path = folder + "/tokenizer_config.json";
  const Json root = read_object(path);
  const JsonFields fields(root, path);
  TokenizerSettings settings;
  settings.add_bos = fields.boolean("add_bos_token").value_or(true);
  settings.add_eos = fields.boolean("add_eos_token").value_or(false);
  settings.add_prefix_space = fields.boolean("add_prefix_space").value_or(true);
  settings.names_ends = fields.has("add_bos_token") || fields.has("add_eos_token");
  settings.wants_bos = fields.boolean("add_bos_token").value_or(false);
  settings.wants_eos = fields.boolean("add_eos_token").value_or(false);
  settings.bos_token = token_text(root, "bos_token");
  settings.eos_token = token_text(root, "eos_token");
  add_listed(read_object(folder + "/added_tokens.json"), settings);
  add_decoder(root, settings);
  return settings;
}

void add_token_map(const std::string& folder, TokenizerSettings& settings) {
  const Json root = read_object(folder + "/special_tokens_map.json");
  if (!settings.bos_token) settings.bos_token = token_text(root, "bos_token");
  if (!settings.eos_token) settings.eos_token = token_text(root, "eos_token");
}

}  // namespace regroup
