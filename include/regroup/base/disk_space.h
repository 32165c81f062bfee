#pragma once

#include <cstdint>
#include <string>

namespace regroup {

/// Free bytes for a new file in (the nearest existing parent of) `path`.
int64_t free_bytes(const std::string& path);
/// @throws OutputError IO_NO_SPACE unless `bytes` + 1 % + 64 MiB fit
void require_free_space(const std::string& path, int64_t bytes);

}  // namespace regroup
