#include "regroup/base/hidden_characters.h"

#include <algorithm>
#include <array>

namespace regroup {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

/// General_Category Cc, Zl and Zp, and Default_Ignorable_Code_Point of Unicode.
constexpr auto kHidden = std::to_array<Range>({
    {0x0, 0x1F},
    {0x7F, 0x9F},
    {0xAD, 0xAD},      // soft hyphen
    {0x34F, 0x34F},    // combining grapheme joiner
    {0x61C, 0x61C},    // Arabic letter mark
    {0x115F, 0x1160},  // Hangul fillers
    {0x17B4, 0x17B5},
    {0x180B, 0x180F},
    {0x200B, 0x200F},
    {0x2028, 0x202E},  // line and paragraph separators, bidi embeddings
    {0x2060, 0x206F},
    {0x3164, 0x3164},
    {0xFEFF, 0xFEFF},  // byte order mark
    {0xFFA0, 0xFFA0},
    {0xFFF0, 0xFFFB},
    {0x1BCA0, 0x1BCA3},
    {0x1D173, 0x1D17A},
    {0xE0000, 0xE0FFF},  // tags
});

}  // namespace

bool is_hidden(uint32_t character) {
  return std::any_of(kHidden.begin(), kHidden.end(), [&](const Range& range) {
    return character >= range.first && character <= range.last;
  });
}

}  // namespace regroup
