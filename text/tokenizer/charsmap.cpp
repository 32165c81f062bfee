#include "charsmap.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "part_errors.h"
#include "regroup/base/utf8.h"
#include "utf8.h"

namespace regroup {
namespace {

constexpr size_t kMaxCluster = 5;        // of bytes that are looked up as one
constexpr size_t kMaxReplacement = 256;  // NFKC's longest has 33

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int n = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    n += 6;
    if (n < 8) continue;
    n -= 8;
    bytes += static_cast<char>(bits >> n & 0xFF);
  }
  return bytes;
}

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// A unit of the double array (Darts-clone).
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) == 1; }
uint32_t leaf_value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t unit_label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t unit_offset(uint32_t unit) { return unit >> 10 << ((unit & 1U << 9) >> 6); }

/// True for a byte within a character: what begins there is not UTF-8.
bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// Bytes of the trie of a charsmap, behind its own size; 0 unless both lie in the bytes.
size_t trie_bytes(std::string_view bytes) {
  if (bytes.size() <= 4) return 0;
  const size_t trie = little_endian(bytes, 0);
  return trie % 4 == 0 && trie <= bytes.size() - 4 ? trie : 0;
}

/// Where the grapheme cluster at `at` ends.
size_t cluster_end(std::string_view text, size_t at) {
  utf8proc_int32_t state = 0;
  auto before = static_cast<utf8proc_int32_t>(character_at(text, at));
  size_t end = at + character_bytes(static_cast<unsigned char>(text[at]));
  while (end < text.size()) {
    const auto next = static_cast<utf8proc_int32_t>(character_at(text, end));
    if (utf8proc_grapheme_break_stateful(before, next, &state)) break;
    before = next;
    end += character_bytes(static_cast<unsigned char>(text[end]));
  }
  return end;
}

}  // namespace

Charsmap::Charsmap(const std::string& base64, const std::string& path) {
  const auto bytes = decode_base64(base64);
  const size_t trie = bytes ? trie_bytes(*bytes) : 0;
  if (trie == 0) {
    wrong_part(path, "TOK_CHARSMAP",
               "\"precompiled_charsmap\" must be base64 of a trie and its replacements");
  }
  for (size_t at = 0; at < trie; at += 4) units_.push_back(little_endian(*bytes, 4 + at));
  replacements_ = bytes->substr(4 + trie);
  if (!is_utf8(replacements_) || !replacements_.ends_with('\0')) {
    wrong_part(path, "TOK_CHARSMAP",
               "the replacements of \"precompiled_charsmap\" must be UTF-8 that ends with NUL");
  }
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  size_t at = unit_offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    at ^= byte;
    if (at >= units_.size() || unit_label(units_[at]) != byte) return std::nullopt;
    const uint32_t unit = units_[at];
    at ^= unit_offset(unit);
    if (!has_leaf(unit)) continue;
    // The shortest key that `text` begins with, as in the package.
    const size_t begin = at < units_.size() ? leaf_value(units_[at]) : SIZE_MAX;
    if (begin >= replacements_.size() || is_continuation(replacements_[begin])) return std::nullopt;
    return std::string_view(replacements_.data() + begin);
  }
  return std::nullopt;
}

std::string Charsmap::apply(std::string_view text, const GrowthLimit& limit) const {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t end = cluster_end(text, at);
    const std::string_view cluster = text.substr(at, end - at);
    const auto whole = cluster.size() <= kMaxCluster ? replacement(cluster) : std::nullopt;
    if (whole) {
      out += *whole;
    } else {
      for (size_t i = 0, n; i < cluster.size(); i += n) {
        n = character_bytes(static_cast<unsigned char>(cluster[i]));
        const std::string_view character = cluster.substr(i, n);
        out += replacement(character).value_or(character);
        limit.require(out.size());
      }
    }
    limit.require(out.size());
    at = end;
  }
  return out;
}

void require_sound_charsmap(std::string_view charsmap, const std::string& path) {
  const size_t trie = trie_bytes(charsmap);
  const std::string_view replacements = charsmap.substr(std::min(4 + trie, charsmap.size()));
  bool sound = trie > 0 && replacements.ends_with('\0');
  const size_t n = trie / 4;
  const auto unit_at = [&](size_t at) { return little_endian(charsmap, 4 + 4 * at); };
  for (size_t at = 0; sound && at < n; ++at) {
    const uint32_t unit = unit_at(at);
    if (at > 0 && unit > INT32_MAX) continue;  // a value, at which no byte arrives
    // Every byte that may follow is looked up in one block of 256 units.
    const size_t next = at ^ unit_offset(unit);
    sound = (next | 0xFF) < n;
    if (!sound || !has_leaf(unit)) continue;
    const size_t begin = leaf_value(unit_at(next));
    sound = begin < replacements.size();
    if (sound && replacements.find('\0', begin) - begin > kMaxReplacement) {
      wrong_part(
          path, "TOK_EXPANSION",
          fmt::format("\"precompiled_charsmap\" must replace by at most {} bytes, found more",
                      kMaxReplacement));
    }
  }
  if (sound) return;
  wrong_part(path, "TOK_CHARSMAP",
             "\"precompiled_charsmap\" must be a trie that stays within itself and within its "
             "replacements");
}

}  // namespace regroup
