#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "column_reader.h"
#include "parquet_schema.h"
#include "regroup/base/strict_json.h"

namespace regroup::parquet {

/// Puts records together from the entries of columns and their levels.
/// Source: S. Melnik et al., "Dremel: Interactive Analysis of Web-Scale Datasets", VLDB 2010.
class RecordAssembler {
 public:
  /// @param root     of the schema
  /// @param columns  its leaves, in one row group
  RecordAssembler(const Field& root, std::deque<ColumnReader>& columns)
      : root_(root), columns_(columns) {}

  /// The next record. @throws CheckpointError PARQUET_LEVELS, PARQUET_RECORD_LIMIT (16 MiB), TEXT_UTF8 and those of
  /// the columns
  /// @param where  "test.parquet row 3"
  Json next(const std::string& where);
  /// What the last record weighs: bytes of its texts and keys, and 16 for each value.
  int64_t record_bytes() const { return record_bytes_; }
  /// @throws CheckpointError PARQUET_LEVELS where a column has more entries
  void require_end() const;

 private:
  Json read(const Field& field);
  Json read_value(const Field& field);
  Json read_object(const Field& field);
  Json read_list(const Field& field);
  Json read_map(const Field& field);
  void read_items(const Field& field, const std::function<void()>& read_item);
  bool goes_on(const Field& field) const;
  void pass(const Field& field, int definition);
  void spend(size_t bytes);

  const Field& root_;
  std::deque<ColumnReader>& columns_;
  std::string where_;
  int64_t record_bytes_ = 0;
};

}  // namespace regroup::parquet
