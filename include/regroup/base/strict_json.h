#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace regroup {

using Json = nlohmann::ordered_json;  // keeps the order of a file's keys

/// Limits on JSON that nobody vouches for.
struct JsonLimits {
  int64_t bytes;
  int depth = 64;
};
inline constexpr JsonLimits kConfigJson{.bytes = 4 << 20};
inline constexpr JsonLimits kIndexJson{.bytes = 256 << 20, .depth = 8};
inline constexpr JsonLimits kTokenizerConfigJson{.bytes = 16 << 20};
inline constexpr JsonLimits kManifestJson{.bytes = 256 << 20};

/// Parses `text`; `path` names it in errors.
/// @throws CheckpointError  JSON_UTF8, JSON_SYNTAX (with line and column), JSON_DEPTH,
///                          JSON_DUPLICATE_KEY (the same key twice in one object, after unescaping)
Json parse_strict_json(std::string_view text, const std::string& path, const JsonLimits& limits);

/// Reads and parses a whole file. @throws CheckpointError also LIMIT_FILE_SIZE, IO_READ_ERROR
Json read_strict_json(const std::string& path, const JsonLimits& limits);

/// Typed look-ups in an object that came from `path`. Absent and null are the same.
/// @throws CheckpointError CFG_TYPE or CFG_RANGE, naming file, key and value
class JsonFields {
 public:
  JsonFields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}
  /// An integer in [least, most].
  std::optional<int64_t> integer(const char* key, int64_t min, int64_t max) const;
  std::optional<double> number(const char* key) const;
  std::optional<double> positive(const char* key) const;
  std::optional<bool> boolean(const char* key) const;
  std::optional<std::string> string(const char* key) const;
  /// Whether the key is there, if only as null.
  bool has(const char* key) const;
  /// The value, or nullptr when absent or null.
  const Json* find(const char* key) const;
  const std::string& path() const { return path_; }

 private:
  const Json& object_;
  std::string path_;
};

}  // namespace regroup
