#pragma once

#include <functional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup::parquet {

struct Row {
  const Json& record;
  std::string where;                       ///< "train.parquet row 3"
  double read = 0;                         ///< share of the file's rows up to this one
  const std::vector<std::string>& unread;  ///< names of the file's columns that were not asked for
};

/// Hands on each row of a Parquet file as an object with the columns for keys, until `visit` returns false. Texts are
/// strings, integers, dates and times numbers, lists arrays, groups and maps objects; nulls and numbers that are not finite null.
/// Columns that JSON has no form for (bytes that are no text, decimals, INT96) are left out.
/// Memory holds a page and the dictionary of each column, 1 GiB at most, and one record, 16 MiB at most.
/// @param columns  those that are read; all where it is empty, or none of them is there
/// @throws CheckpointError PARQUET_MAGIC, PARQUET_FOOTER, PARQUET_SCHEMA, PARQUET_PAGE, PARQUET_COMPRESSED, PARQUET_CHECKSUM,
///         PARQUET_VALUES, PARQUET_LEVELS, PARQUET_LIMIT, PARQUET_RECORD_LIMIT, TEXT_UTF8, SRC_CHANGED;
///         UnsupportedError PARQUET_UNSUPPORTED: encrypted, packed or encoded as is not read
void visit_records(const std::string& path, const std::function<bool(const Row&)>& visit,
                   const std::vector<std::string>& columns = {});

}  // namespace regroup::parquet
