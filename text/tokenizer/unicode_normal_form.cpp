#include "unicode_normal_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "unicode_tables.h"
#include "utf8.h"

namespace regroup {
namespace {

using Characters = std::vector<utf8proc_int32_t>;

bool composes(UnicodeForm form) { return form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc; }

utf8proc_option_t decomposition(UnicodeForm form) {
  const bool compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  return static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                        (compatible ? UTF8PROC_COMPAT : 0));
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

/// Runs of marks in the order of their classes. utf8proc's own sort takes quadratic time on long ones.
void order_marks(Characters& characters) {
  for (size_t at = 0; at < characters.size();) {
    if (combining_class(characters[at]) == 0) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < characters.size() && combining_class(characters[end]) != 0) ++end;
    std::stable_sort(characters.begin() + static_cast<std::ptrdiff_t>(at),
                     characters.begin() + static_cast<std::ptrdiff_t>(end),
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    at = end;
  }
}

void append_normal(std::string_view text, UnicodeForm form, Characters& characters,
                   std::string& out) {
  characters.clear();
  const utf8proc_option_t options = decomposition(form);
  for (size_t at = 0; at < text.size();
       at += character_bytes(static_cast<unsigned char>(text[at]))) {
    std::array<utf8proc_int32_t, 32> parts;  // no character has more than 18
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(character_at(text, at)),
                                           parts.data(), parts.size(), options, &boundary);
    characters.insert(characters.end(), parts.begin(), parts.begin() + n);
  }
  order_marks(characters);
  auto length = static_cast<utf8proc_ssize_t>(characters.size());
  if (composes(form)) {
    length = utf8proc_normalize_utf32(
        characters.data(), length,
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  }
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_character(out, static_cast<char32_t>(characters[static_cast<size_t>(i)]));
}

/// True for a character that every form leaves alone, whatever stands beside it, and that nothing in front changes;
/// ASCII only takes marks behind it.
bool is_inert(char32_t c, bool first_of_two) {
  if (c < 0x80) return !first_of_two;
  if (is_new_in_normalization(c)) return true;
  // Jamo and the syllables they make, which are composed by rule.
  if ((c >= 0x1100 && c < 0x1200) || (c >= 0xAC00 && c < 0xD7A4)) return false;
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  return property->combining_class == 0 && property->decomp_seqindex == UINT16_MAX &&
         property->comb_index == UINT16_MAX;
}

}  // namespace

std::string to_normal_form(std::string_view text, UnicodeForm form) {
  std::string out;
  out.reserve(text.size());
  Characters characters;
  size_t done = 0;  // what is in `out`
  size_t quiet =
      0;  // where the last character that may take part in a change begins or what follows it
  size_t at = 0;
  const bool latin_stays = form == UnicodeForm::kNfc;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const bool stays = lead < 0x80 || (latin_stays && lead < 0xCC);  // below U+0300
    if (stays) {
      quiet = at;
      at += character_bytes(lead);
      continue;
    }
    // A run of characters that may change, from the one that it may compose with to the next that stays.
    const char32_t c = character_at(text, at);
    if (is_inert(c, true)) {
      at += character_bytes(lead);
      quiet = at;
      continue;
    }
    size_t end = at;
    while (end < text.size()) {
      const auto next = static_cast<unsigned char>(text[end]);
      if (next < 0x80 || is_inert(character_at(text, end), false)) break;
      end += character_bytes(next);
    }
    out.append(text, done, quiet - done);
    append_normal(text.substr(quiet, end - quiet), form, characters, out);
    done = quiet = at = end;
  }
  out.append(text, done);
  return out;
}

}  // namespace regroup
