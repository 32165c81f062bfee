#pragma once

#include <string>
#include <vector>

namespace regroup::chat {

/// A piece of a chat template.
struct Token {
  enum class Kind : uint8_t {
    kText,         ///< between tags
    kOutputBegin,  ///< {{
    kOutputEnd,    ///< }}
    kBlockBegin,   ///< {%
    kBlockEnd,     ///< %}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;
  int line;
};

/// Cuts a template as Jinja does with trim_blocks and lstrip_blocks, which transformers sets: the line break behind a block
/// and the spaces in front of one that begins its line are no text; comments are none either.
/// @throws UnsupportedError TPL_UNSUPPORTED naming the line
std::vector<Token> cut_template(const std::string& source, const std::string& path);

/// @throws UnsupportedError TPL_UNSUPPORTED
[[noreturn]] void refuse_template(const std::string& path, int line, const std::string& why);

}  // namespace regroup::chat
