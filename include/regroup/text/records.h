#pragma once

#include <functional>
#include <string>

#include "regroup/base/strict_json.h"

namespace regroup {

/// Calls `visit` with every JSON value of a .jsonl, .ndjson (one a line) or .json file (an array, or one after the other),
/// plain or packed with gzip or zstd, or every row of a .parquet file as an object, and with the place it stands at
/// ("task.jsonl line 3", "task.parquet row 3"), until it returns false. Memory holds one record, of Parquet a page of each
/// column too. Columns of Parquet that JSON has no form for (bytes that are no text, decimals, INT96) are left out.
/// @throws CheckpointError  TEXT_EMPTY, TEXT_UTF8, TEXT_BINARY, TEXT_COMPRESSED, JSONL_LINE_LIMIT, JSON_*, PARQUET_*;
///                          UnsupportedError TEXT_KIND for another extension, PARQUET_UNSUPPORTED
void read_records(const std::string& path,
                  const std::function<bool(const Json& record, const std::string& where)>& visit);

}  // namespace regroup
