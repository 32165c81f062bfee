#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parquet_schema.h"
#include "regroup/base/input_file.h"

namespace regroup::parquet {

/// One column of one row group.
struct Chunk {
  int64_t first_page = 0;  ///< byte of the file; its dictionary where it has one
  int64_t n_values = 0;    ///< nulls and empty lists too
  int32_t codec = 0;
  int32_t type = -1;
  bool is_encrypted = false;
  bool is_elsewhere = false;  ///< in another file
};

struct RowGroup {
  int64_t n_rows = 0;
  std::vector<Chunk> chunks;  ///< in the order of the schema's columns
};

struct Footer {
  std::vector<SchemaElement> schema;
  std::vector<RowGroup> row_groups;
  int64_t pages_end = 0;  ///< where the footer begins: every page lies in front of it
};

/// Reads what stands at the end of a Parquet file: FileMetaData of parquet.thrift (apache/parquet-format).
/// @throws CheckpointError PARQUET_MAGIC, PARQUET_FOOTER; UnsupportedError PARQUET_UNSUPPORTED for an encrypted one
Footer read_footer(const InputFile& file);

}  // namespace regroup::parquet
