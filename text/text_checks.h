#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace regroup {

bool is_blank(std::string_view text);

/// What str.isspace() and \s of Python take for white space: the property White_Space of Unicode and the four information
/// separators.
bool is_python_space(uint32_t character);

/// @param offset  where `text` begins in the file
/// @throws CheckpointError TEXT_BINARY for a NUL byte, TEXT_UTF8 for what is not well-formed
void require_text(std::string_view text, int64_t offset, const std::string& path);

}  // namespace regroup
