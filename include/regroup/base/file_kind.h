#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace regroup {

/// What a file is that stands where a safetensors file, a config.json or a model folder should be.
struct FileKind {
  std::string_view what;  ///< "a GGUF file"
  std::string_view hint;
  bool pickled = false;       ///< holds, or may hold, a Python pickle
  bool other_format = false;  ///< a model in a format that regroup does not read
};

/// By the first bytes of a file, 16 of which suffice.
std::optional<FileKind> kind_by_start(std::string_view start);
/// By its name, where the bytes say nothing.
std::optional<FileKind> kind_by_name(std::string_view name);
/// By both; nothing where the file cannot be read, or is like no other.
std::optional<FileKind> kind_of_file(const std::string& path);

}  // namespace regroup
