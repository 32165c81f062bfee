#pragma once

#include <string>

namespace regroup {

/// A part of tokenizer.json that regroup does not carry out exactly. @throws UnsupportedError TOK_UNSUPPORTED
[[noreturn]] void refuse_part(const std::string& path, const std::string& message);

/// A part that contradicts the format. @throws CheckpointError `code`
[[noreturn]] void wrong_part(const std::string& path, const char* code, const std::string& message);

}  // namespace regroup
