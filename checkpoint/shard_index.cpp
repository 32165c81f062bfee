#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {
namespace {

constexpr size_t kMaxShards = 10'000;

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message) {
  throw CheckpointError({.code = code,
                         .message = message,
                         .path = path,
                         .hint = "correct the index, or fetch the folder again"});
}

}  // namespace

void check_shard_name(const std::string& name, const std::string& index_path,
                      std::string_view ending) {
  const auto bad = [&](const char* code, const std::string& rule) {
    refuse(code, index_path,
           fmt::format("a shard must be a file inside the folder whose name {}, found \"{}\"", rule,
                       printable(name)));
  };
  if (name.size() > 255) bad("PATH_TOO_LONG", "has at most 255 bytes");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '\\' || c == ':') {
      bad("PATH_BAD_CHAR", "holds no control character, backslash or colon");
    }
  }
  if (name.starts_with('/')) bad("PATH_ABSOLUTE", "does not begin with /");
  // Judged as text, before anything is opened: links inside the folder are normal in the Hugging Face
  // cache, so resolving them would refuse good folders.
  if (name.starts_with("../") || name.find("/../") != std::string::npos || name.ends_with("/..")) {
    bad("PATH_TRAVERSAL", "does not leave the folder");
  }
  if (name.find('/') != std::string::npos) bad("PATH_BAD", "holds no /");
  if (!name.ends_with(ending)) bad("PATH_BAD", fmt::format("ends in {}", ending));
}

ShardIndex read_shard_index(const std::string& path, std::string_view ending) {
  const Json root = read_strict_json(path, kIndexJson);
  if (!root.is_object()) {
    refuse("IDX_NOT_OBJECT", path,
           fmt::format("must be a JSON object, found {}", root.type_name()));
  }
  const auto map = root.find("weight_map");
  if (map == root.end()) refuse("IDX_NO_WEIGHT_MAP", path, "must hold \"weight_map\"");
  if (!map->is_object()) {
    refuse("IDX_BAD_WEIGHT_MAP", path,
           fmt::format("\"weight_map\" must be an object, found {}", map->type_name()));
  }
  if (map->empty()) refuse("IDX_EMPTY", path, "\"weight_map\" must name at least one tensor");

  ShardIndex index;
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      refuse("IDX_BAD_ENTRY", path,
             fmt::format("weight_map[\"{}\"] must be a file name, found {}", printable(tensor),
                         printable(file.dump())));
    }
    const auto name = file.get<std::string>();
    if (files.insert(name).second) check_shard_name(name, path, ending);
    index.weight_map[tensor] = name;
  }
  if (files.size() > kMaxShards) {
    refuse("LIMIT_SHARDS", path,
           fmt::format("must name at most {} files, found {}", kMaxShards, files.size()));
  }
  index.files.assign(files.begin(), files.end());
  const auto metadata = root.find("metadata");
  if (metadata != root.end() && metadata->is_object() && metadata->contains("total_size")) {
    const Json& size = (*metadata)["total_size"];
    const bool fits = size.is_number_unsigned() && size.get<uint64_t>() < (uint64_t{1} << 62);
    if (fits) {
      index.total_size = size.get<int64_t>();
    } else {
      index.notices.push_back(
          fmt::format("{}: metadata.total_size is no size: {}", path, printable(size.dump(), 60)));
    }
  }
  return index;
}

}  // namespace regroup
