#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "parquet_schema.h"
#include "regroup/base/strict_json.h"

namespace regroup::parquet {

/// A page that holds fewer values than it promises. @throws CheckpointError PARQUET_VALUES
[[noreturn]] void refuse_values(const std::string& place);

/// Takes `count` bytes from the front of `bytes`. @throws CheckpointError PARQUET_VALUES where there are fewer
std::string_view take_front(std::string_view& bytes, size_t count, const std::string& place);
/// Takes a text with its length, four bytes, in front.
std::string_view take_text(std::string_view& bytes, const std::string& place);

/// A number from its bits; null where it is not finite, for which JSON has no number (pandas writes null too).
Json number_of(ValueKind kind, uint64_t bits);
/// 4 or 8.
size_t number_bytes(ValueKind kind);

}  // namespace regroup::parquet
