#include "byte_symbols.h"

#include <array>
#include <cstdint>

#include "utf8.h"

namespace regroup {
namespace {

constexpr int kFirstSubstitute = 0x100;
constexpr int kSubstitutes = 68;

constexpr bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr auto kSymbols = [] {
  std::array<char32_t, 256> symbols{};
  int next = kFirstSubstitute;
  for (int byte = 0; byte < 256; ++byte) {
    symbols[static_cast<size_t>(byte)] =
        static_cast<char32_t>(stands_for_itself(byte) ? byte : next++);
  }
  return symbols;
}();

constexpr auto kBytes = [] {
  std::array<int16_t, kFirstSubstitute + kSubstitutes> bytes{};
  bytes.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte) bytes[kSymbols[byte]] = static_cast<int16_t>(byte);
  return bytes;
}();

}  // namespace

char32_t byte_symbol(unsigned char byte) { return kSymbols[byte]; }

std::optional<unsigned char> symbol_byte(char32_t symbol) {
  if (symbol >= kBytes.size() || kBytes[symbol] < 0) return std::nullopt;
  return static_cast<unsigned char>(kBytes[symbol]);
}

std::string to_byte_symbols(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_character(text, kSymbols[static_cast<unsigned char>(byte)]);
  return text;
}

std::optional<std::string> from_byte_symbols(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();
       at += character_bytes(static_cast<unsigned char>(text[at]))) {
    const auto byte = symbol_byte(character_at(text, at));
    if (!byte) return std::nullopt;
    bytes += static_cast<char>(*byte);
  }
  return bytes;
}

}  // namespace regroup
