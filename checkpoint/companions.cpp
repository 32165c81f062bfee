#include "regroup/checkpoint/companions.h"

#include <array>

#include "regroup/checkpoint/file.h"

namespace regroup {
namespace {

constexpr auto kCompanions = std::to_array<const char*>(
    {"generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
     "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
     "spiece.model", "chat_template.jinja", "chat_template.json"});

}  // namespace

std::vector<std::string> companion_files(const std::string& model) {
  std::vector<std::string> found;
  for (const char* name : kCompanions) {
    if (path_exists(model + "/" + name)) found.emplace_back(name);
  }
  return found;
}

}  // namespace regroup
