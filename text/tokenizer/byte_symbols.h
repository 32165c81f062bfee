#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace regroup {

/// The alphabet of byte-level BPE: each byte has one printable character. The printable ones of Latin-1 stand
/// for themselves; the other 68 have the characters from U+0100 on, in order.
char32_t byte_symbol(unsigned char byte);

/// The byte that a character stands for; none for a character outside the alphabet.
std::optional<unsigned char> symbol_byte(char32_t symbol);

/// Every byte as its symbol, in UTF-8.
std::string to_byte_symbols(std::string_view bytes);

/// The bytes that symbols stand for; none if `text` has a character outside the alphabet.
std::optional<std::string> from_byte_symbols(std::string_view text);

}  // namespace regroup
