#include "gpt2_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "part_errors.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"

namespace regroup {
namespace {

constexpr JsonLimits kVocabJson{.bytes = 256 << 20};
constexpr int64_t kMaxMergeBytes = 256 << 20;

/// The merges in the order of the file; lines that begin with "#version" say nothing.
Json read_merges_file(const std::string& path) {
  const InputFile file(path);
  if (file.size() > kMaxMergeBytes) {
    wrong_part(path, "LIMIT_FILE_SIZE",
               fmt::format("must have at most {} bytes, found {}", kMaxMergeBytes, file.size()));
  }
  const std::string text = file.read_all();
  if (!is_utf8(text)) wrong_part(path, "TOK_MERGE", "must be valid UTF-8");
  Json merges = Json::array();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  }
  return merges;
}

}  // namespace

bool has_gpt2_files(const std::string& folder) {
  return path_exists(folder + "/vocab.json") && path_exists(folder + "/merges.txt");
}

Json read_gpt2_files(const std::string& folder) {
  const std::string config_path = folder + "/tokenizer_config.json";
  const Json config = path_exists(config_path) ? read_strict_json(config_path, kTokenizerConfigJson)
                                               : Json::object();
  const JsonFields fields(config, config_path);
  const std::string name = fields.string("tokenizer_class").value_or("GPT2Tokenizer");
  if (name != "GPT2Tokenizer" && name != "GPT2TokenizerFast") {
    refuse_part(folder,
                fmt::format("vocab.json and merges.txt are read as GPT2Tokenizer's alone, found {}",
                            printable(name)));
  }
  Json model = {{"type", "BPE"}};
  model["vocab"] = read_strict_json(folder + "/vocab.json", kVocabJson);
  model["merges"] = read_merges_file(folder + "/merges.txt");
  Json root;
  root["pre_tokenizer"] = {
      {"type", "ByteLevel"},
      {"add_prefix_space", fields.boolean("add_prefix_space").value_or(false)}};
  root["decoder"] = {{"type", "ByteLevel"}};
  root["model"] = std::move(model);
  return root;
}

}  // namespace regroup
