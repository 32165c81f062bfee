#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/measured.h"

namespace regroup {

// Reading result files: a key that is absent leaves its field empty, a key of the wrong type is an error that names file
// and key. And writing what several of them repeat.

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// The tag of a file, "regroup eval/1"; "" where it has none.
std::string format_in(const Json& json);
/// A file without a tag of ours is of an earlier version, or another program's: the reader takes it as it is.
/// @throws CheckpointError RESULT_FORMAT for another tag than `format`, with both
void require_format(const Json& json, const char* format, const std::string& path);
/// @throws CheckpointError RESULT_FORMAT
[[noreturn]] void refuse_format(const std::string& found, const std::string& must,
                                const std::string& path);

/// The object `key`; an empty one where it is absent or null. @throws CheckpointError CFG_TYPE for another type
const Json& object_in(const Json& json, const std::string& key, const std::string& path);
/// The elements of the array `key`, which must all be objects; none where it is absent or null. @throws likewise
const Json& objects_in(const Json& json, const char* key, const std::string& path);
std::string text_of(const JsonFields& fields, const char* key);
int64_t count_of(const JsonFields& fields, const char* key);
std::optional<int64_t> optional_count(const JsonFields& fields, const char* key);
/// The elements of the array `key`; none where it is absent or null. @throws CheckpointError CFG_TYPE for another type
std::vector<std::string> texts_in(const Json& json, const std::string& key,
                                  const std::string& path);
NamedTexts named_texts(const Json& object);
/// The numbers `key` and `key`_stderr; a first one that is absent is 0.
Measured measured_in(const JsonFields& fields, const std::string& key);
/// The two numbers of an interval. @throws CheckpointError CFG_TYPE where there are not two
std::pair<double, double> interval_in(const JsonFields& fields, const char* key);
/// @throws CheckpointError CFG_TYPE
[[noreturn]] void wrong_type(const std::string& path, const std::string& what);

Json optional_json(const std::optional<double>& value);
Json optional_json(const std::optional<int64_t>& value);
Json optional_json(const std::optional<bool>& value);

}  // namespace regroup
