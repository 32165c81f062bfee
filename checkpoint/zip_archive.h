#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/base/input_file.h"

namespace regroup {

/// A file of a ZIP archive.
struct ZipEntry {
  std::string name;
  int64_t begin = 0;  ///< where its bytes lie in the archive, as they are
  int64_t bytes = 0;
  uint32_t crc = 0;       ///< as the archive says
  bool is_stored = true;  ///< as it is; false: packed or encrypted, and `bytes` are those it has so
};

/// The files of an archive, ZIP64 or not, by their places. None is unpacked. Central directory and local headers
/// must agree, and no two files overlap. A number of the end record is that of the ZIP64 record where it is full
/// (0xFFFF...); PyTorch writes both in full, and they must agree. Source: APPNOTE.TXT 6.3.10 of PKWARE, 4.3, 4.4.1.4 and 4.5.3.
/// @throws CheckpointError ZIP_STRUCT, ZIP_NAME, ZIP_LIMIT
std::vector<ZipEntry> read_zip_entries(const InputFile& file);

/// Whether the archive has checksums: torch.serialization.set_crc32_options(False) leaves 0 in place of each.
bool has_checksums(const std::vector<ZipEntry>& entries);

}  // namespace regroup
