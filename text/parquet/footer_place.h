#pragma once

#include <cstdint>

#include "regroup/base/input_file.h"

namespace regroup::parquet {

/// Bytes of the file, [begin, end).
struct FooterPlace {
  int64_t begin;
  int64_t end;
};

/// Where the footer lies, by the magic at both ends of the file and the length in front of the last one.
/// @throws CheckpointError PARQUET_MAGIC, PARQUET_FOOTER; UnsupportedError PARQUET_UNSUPPORTED for an encrypted one
FooterPlace find_footer(const InputFile& file);

}  // namespace regroup::parquet
