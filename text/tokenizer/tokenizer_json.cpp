#include "tokenizer_json.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "bpe.h"
#include "gpt2_files.h"
#include "json_tokenizer.h"
#include "part_errors.h"
#include "post_processor.h"
#include "regroup/base/digest.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "tokenizer_files.h"
#include "unigram.h"

namespace regroup {
namespace {

constexpr JsonLimits kTokenizerJson{.bytes = 256 << 20};

const Json* member(const Json& root, const char* key) {
  const auto found = root.find(key);
  return found == root.end() || found->is_null() ? nullptr : &*found;
}

/// A token as "added_tokens" and added_tokens_decoder describe it.
AddedToken read_added(const Json& entry, int64_t id, const std::string& path) {
  const JsonFields fields(entry, path);
  AddedToken token{.text = fields.string("content").value_or("")};
  token.id = static_cast<int32_t>(id);
  token.single_word = fields.boolean("single_word").value_or(false);
  token.takes_left = fields.boolean("lstrip").value_or(false);
  token.takes_right = fields.boolean("rstrip").value_or(false);
  token.special = fields.boolean("special").value_or(false);
  token.normalized = fields.boolean("normalized").value_or(!token.special);
  return token;
}

std::vector<AddedToken> read_added_tokens(const Json& root, const std::string& path) {
  std::vector<AddedToken> tokens;
  const Json* list = member(root, "added_tokens");
  if (list == nullptr) return tokens;
  if (!list->is_array()) wrong_part(path, "TOK_ADDED", "\"added_tokens\" must be a list");
  for (const Json& entry : *list) {
    if (!entry.is_object()) wrong_part(path, "TOK_ADDED", "an added token must be an object");
    const auto id = JsonFields(entry, path).integer("id", 0, INT32_MAX);
    if (!id)
      wrong_part(
          path, "TOK_ADDED",
          fmt::format("an added token must have an id, found {}", printable(entry.dump(), 80)));
    tokens.push_back(read_added(entry, *id, path));
  }
  return tokens;
}

/// Puts in the tokens that only tokenizer_config.json has, in the order of their ids.
void add_from_config(const std::string& folder, std::vector<AddedToken>& tokens) {
  const std::string path = folder + "/tokenizer_config.json";
  if (!path_exists(path)) return;
  const Json root = read_strict_json(path, kTokenizerConfigJson);
  const Json* decoder = member(root, "added_tokens_decoder");
  if (decoder == nullptr || !decoder->is_object()) return;
  std::unordered_set<std::string> known;
  for (const AddedToken& token : tokens) known.insert(token.text);
  std::map<int64_t, AddedToken> missing;
  for (const auto& [key, entry] : decoder->items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool number = error == std::errc() && end == key.data() + key.size();
    if (!number || id < 0 || id > INT32_MAX || !entry.is_object()) continue;
    AddedToken token = read_added(entry, id, path);
    if (!token.text.empty() && known.insert(token.text).second)
      missing.emplace(id, std::move(token));
  }
  for (auto& [id, token] : missing) tokens.push_back(std::move(token));
}

std::unique_ptr<WordModel> read_model(const Json& root, bool takes_bytes, const std::string& path) {
  const Json* model = member(root, "model");
  if (model == nullptr || !model->is_object()) {
    wrong_part(path, "TOK_PART", "must hold an object \"model\"");
  }
  const JsonFields fields(*model, path);
  // Files of old versions leave the type out: only BPE has merges.
  const std::string type = fields.string("type").value_or(model->contains("merges") ? "BPE" : "");
  if (type == "BPE") return read_bpe(*model, takes_bytes, path);
  if (type == "Unigram") return read_unigram(*model, path);
  refuse_part(path, fmt::format("only models of the types BPE and Unigram are read, found {}",
                                type.empty() ? "none" : printable(type)));
}

/// A piece of bytes takes its symbols in the model; Unigram has no such mode.
void check_bytes(const JsonTokenizer::Parts& parts, const Json& root, const std::string& path) {
  const Json* model = member(root, "model");
  const bool unigram =
      model != nullptr && JsonFields(*model, path).string("type").value_or("BPE") == "Unigram";
  if (unigram && parts.pre_tokenizer.ends_with_bytes()) {
    refuse_part(path, "the pre_tokenizer ByteLevel stands in front of a Unigram model");
  }
}

int32_t id_of_named(const std::optional<std::string>& name, const JsonTokenizer::Parts& parts) {
  if (!name || name->empty()) return -1;
  const int32_t added = parts.added->find(*name);
  return added >= 0 ? added : parts.model->vocabulary().find(*name);
}

/// BOS and EOS: what the post_processor puts around a text, else what tokenizer_config.json names.
Tokenizer::Kind::Ends ends_of(const JsonTokenizer::Parts& parts, const TextEnds& around,
                              const TokenizerSettings& settings) {
  Tokenizer::Kind::Ends ends{.bos = id_of_named(settings.bos_token, parts),
                             .eos = id_of_named(settings.eos_token, parts)};
  if (settings.names_ends) {
    ends.add_bos = settings.wants_bos && ends.bos >= 0;
    ends.add_eos = settings.wants_eos && ends.eos >= 0;
    return ends;
  }
  ends.add_bos = !around.front.empty();
  ends.add_eos = !around.back.empty();
  if (ends.add_bos) ends.bos = around.front.front();
  if (ends.add_eos) ends.eos = around.back.front();
  return ends;
}

}  // namespace

std::unique_ptr<JsonTokenizer> read_tokenizer_json(const std::string& folder) {
  const bool whole = path_exists(folder + "/tokenizer.json");
  const std::string path = folder + (whole ? "/tokenizer.json" : "/vocab.json");
  const Json root = whole ? read_strict_json(path, kTokenizerJson) : read_gpt2_files(folder);
  if (!root.is_object()) wrong_part(path, "TOK_PART", "must be a JSON object");
  TokenizerSettings settings = read_tokenizer_settings(folder);
  add_token_map(folder, settings);
  JsonTokenizer::Parts parts;
  parts.normalizer = Normalizer::read(member(root, "normalizer"), path);
  parts.pre_tokenizer = PreTokenizer::read(member(root, "pre_tokenizer"), path);
  parts.decoder = TextDecoder::read(member(root, "decoder"), path);
  const TextEnds around = read_post_processor(member(root, "post_processor"), path);
  check_bytes(parts, root, path);
  parts.model = read_model(root, parts.pre_tokenizer.ends_with_bytes(), path);
  std::vector<AddedToken> added = read_added_tokens(root, path);
  add_from_config(folder, added);
  parts.added = std::make_unique<AddedTokens>(std::move(added), parts.model->vocabulary(),
                                              parts.normalizer, path);
  const Tokenizer::Kind::Ends ends = ends_of(parts, around, settings);
  auto tokenizer = std::make_unique<JsonTokenizer>(std::move(parts));
  tokenizer->ends = ends;
  tokenizer->digest = sha256_of_file(path);
  if (!whole)
    tokenizer->digest = sha256_of_text(tokenizer->digest + sha256_of_file(folder + "/merges.txt"));
  return tokenizer;
}

}  // namespace regroup
