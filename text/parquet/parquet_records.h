#pragma once

#include <functional>
#include <string>

#include "regroup/base/strict_json.h"

namespace regroup::parquet {

/// Hands on each row of a Parquet file as an object with the columns for keys, until `visit` returns false. Texts are
/// strings, integers, dates and times numbers, lists arrays, groups and maps objects; nulls and numbers that are not finite null.
/// Columns that JSON has no form for (bytes that are no text, decimals, INT96) are left out.
/// Memory holds a page and the dictionary of each column, 1 GiB at most, and one record, 16 MiB at most.
/// @throws CheckpointError PARQUET_MAGIC, PARQUET_FOOTER, PARQUET_SCHEMA, PARQUET_PAGE, PARQUET_COMPRESSED, PARQUET_CHECKSUM,
///         PARQUET_VALUES, PARQUET_LEVELS, PARQUET_LIMIT, PARQUET_RECORD_LIMIT, TEXT_UTF8, SRC_CHANGED;
///         UnsupportedError PARQUET_UNSUPPORTED: encrypted, packed or encoded as is not read
void visit_records(const std::string& path,
                   const std::function<bool(const Json& record, const std::string& where)>& visit);

}  // namespace regroup::parquet
