// Where the files of a task are.
#include "task_place.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "regroup/base/error.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const TaskDefinition* definition : task_definitions()) {
    names.emplace_back(definition->name);
  }
  return names;
}

/// As the hub names a piece of a split: "test-00001-of-00004.parquet".
struct Shard {
  int64_t index = 0;
  int64_t count = 0;
};

std::string shard_name(const std::string& split, const Shard& shard) {
  return fmt::format("{}-{:05}-of-{:05}.parquet", split, shard.index, shard.count);
}

/// What `name` is of `split`; nothing where it is something else.
std::optional<Shard> shard_of(const std::string& split, const std::string& name) {
  if (!name.starts_with(split + "-")) return std::nullopt;
  Shard shard;
  const char* end = name.data() + name.size();
  const auto index = std::from_chars(name.data() + split.size() + 1, end, shard.index);
  constexpr std::string_view kOf = "-of-";
  const std::string_view rest(index.ptr, end);
  if (index.ec != std::errc() || !rest.starts_with(kOf)) return std::nullopt;
  std::from_chars(index.ptr + kOf.size(), end, shard.count);
  const bool is_one = shard.index >= 0 && shard.index < shard.count && shard.count < 100'000;
  return is_one && name == shard_name(split, shard) ? std::optional(shard) : std::nullopt;
}

/// In order; none where there is none.
std::vector<std::string> shards_of(const std::string& folder, const std::string& split) {
  std::map<int64_t, std::set<int64_t>> found;  // indices by count
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const auto shard = shard_of(split, entry.path().filename().string());
    if (shard) found[shard->count].insert(shard->index);
  }
  if (found.empty()) return {};
  const auto& [count, indices] = *found.begin();
  if (found.size() > 1) {
    throw ConfigError(
        {.code = "TASK_DATA",
         .message = fmt::format("the shards of a split must be of one number, found some of {} and "
                                "some of {}",
                                count, found.rbegin()->first),
         .path = folder + "/" + split,
         .hint = "remove those of the other download"});
  }
  std::vector<std::string> paths;
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = shard_name(split, {.index = i, .count = count});
    if (!indices.contains(i)) {
      throw ConfigError(
          {.code = "TASK_DATA",
           .message = fmt::format("a split of {} shards must have all of them, found {} without {}",
                                  count, indices.size(), name),
           .path = folder + "/" + split,
           .hint = "download the missing ones too; nothing is fetched"});
    }
    paths.push_back(folder + "/" + name);
  }
  return paths;
}

/// "a/b.jsonl.gz", or the shards "a/b-00000-of-00002.parquet" and its like; none where there is none of the endings.
std::vector<std::string> files_of(const std::string& folder, const std::string& name,
                                  bool may_be_text) {
  const std::string stem = folder + "/" + name;
  for (const char* kind : {".jsonl", ".json", ".ndjson", ".txt"}) {
    if (std::string(kind) == ".txt" && !may_be_text) continue;
    for (const char* packed : {"", ".gz", ".zst"}) {
      if (path_exists(stem + kind + packed)) return {stem + kind + packed};
    }
  }
  if (path_exists(stem + ".parquet")) return {stem + ".parquet"};
  return shards_of(folder, name);
}

}  // namespace

const TaskDefinition& known_task(const std::string& name) {
  if (const TaskDefinition* definition = find_task_definition(name)) return *definition;
  const std::string near = nearest(name, known_names());
  throw ConfigError({.code = "TASK_UNKNOWN",
                     .message = fmt::format("`task` must be a file, or one of {}; found {}",
                                            join(known_names(), ", "), printable(name, 60)),
                     .hint = near.empty() ? "docs/tasks.md says what each of them reads"
                                          : fmt::format("did you mean {}?", near)});
}

std::vector<std::string> find_split(const TaskDefinition& definition, const std::string& folder,
                                    std::string_view split) {
  const std::string name(definition.name);
  const bool text = definition.split_text != nullptr;
  auto files = files_of(folder + "/" + name, std::string(split), text);
  if (files.empty() && split == definition.split) files = files_of(folder, name, text);
  return files;
}

std::vector<std::string> require_split(const TaskDefinition& definition,
                                       const std::string& folder) {
  if (!folder.empty()) {
    auto files = find_split(definition, folder, definition.split);
    if (!files.empty()) return files;
  }
  const std::string place = folder.empty() ? "FOLDER" : folder;
  throw ConfigError(
      {.code = "TASK_DATA",
       .message = fmt::format("the questions of {} must lie in {}/{}.jsonl or {}/{}/{}.jsonl",
                              definition.name, printable(place), definition.name, printable(place),
                              definition.name, definition.split),
       .hint = folder.empty() ? "name the folder with `task-data`; nothing is fetched"
                              : "docs/tasks.md says how to write them there"});
}

}  // namespace regroup
