#pragma once

#include <string>

namespace regroup::parquet {

inline constexpr const char* kFetchAgain = "the file is damaged or incomplete; fetch it again";
inline constexpr const char* kWriteLines =
    "write its records as lines of JSON: datasets.Dataset.to_json(\"test.jsonl\")";

/// A file that contradicts the format, or itself.
/// @param place  the file and what of it: "test.parquet", "test.parquet column choices.text"
/// @throws CheckpointError `code`
[[noreturn]] void refuse(const char* code, const std::string& place, const std::string& message,
                         const std::string& hint = kFetchAgain);

/// A good file that has what is not read here. @throws UnsupportedError PARQUET_UNSUPPORTED
[[noreturn]] void refuse_unsupported(const std::string& place, const std::string& message);

}  // namespace regroup::parquet
