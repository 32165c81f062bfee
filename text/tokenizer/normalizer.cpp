#include "normalizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "charsmap.h"
#include "part_reader.h"
#include "regex.h"
#include "unicode_normal_form.h"
#include "unicode_tables.h"
#include "utf8.h"

namespace regroup {
namespace {

class NormalForm : public NormalizerStep {
 public:
  explicit NormalForm(UnicodeForm form) : form_(form) {}
  std::string apply(std::string_view text, const GrowthLimit&) const override {
    return to_normal_form(text, form_);
  }

 private:
  UnicodeForm form_;
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  std::string apply(std::string_view text, const GrowthLimit&) const override {
    return text.empty() ? std::string() : text_ + std::string(text);
  }

 private:
  std::string text_;
};

class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  std::string apply(std::string_view text, const GrowthLimit&) const override {
    size_t begin = 0, end = text.size();
    while (left_ && begin < end && is_white_space(character_at(text, begin))) {
      begin += character_bytes(static_cast<unsigned char>(text[begin]));
    }
    while (right_ && end > begin) {
      size_t last = end - 1;
      while ((static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
      if (!is_white_space(character_at(text, last))) break;
      end = last;
    }
    return std::string(text.substr(begin, end - begin));
  }

 private:
  bool left_, right_;
};

/// Walks over the characters of a text, each of which becomes others.
template <typename Append>
std::string by_character(std::string_view text, const Append& append) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();
       at += character_bytes(static_cast<unsigned char>(text[at]))) {
    append(out, character_at(text, at));
  }
  return out;
}

class Lowercase : public NormalizerStep {
 public:
  std::string apply(std::string_view text, const GrowthLimit&) const override {
    return by_character(text, append_lower_case);
  }
};

class StripAccents : public NormalizerStep {
 public:
  std::string apply(std::string_view text, const GrowthLimit&) const override {
    return by_character(text, [](std::string& out, char32_t c) {
      if (!is_mark(c)) append_character(out, c);
    });
  }
};

/// Replaces every occurrence of a string or of what a regular expression matches.
class Replace : public NormalizerStep {
 public:
  Replace(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string apply(std::string_view text, const GrowthLimit& limit) const override {
    std::string out;
    size_t done = 0;
    for (size_t from = 0; from <= text.size();) {
      const auto found = pattern_.find(text, from);
      if (!found) break;
      out.append(text, done, found->begin - done);
      out += content_;
      limit.require(out.size());
      done = found->end;
      // An empty match moves on by a character.
      from = found->end > found->begin || found->end >= text.size()
                 ? std::max(found->end, from + (found->end == found->begin ? 1 : 0))
                 : found->end + character_bytes(static_cast<unsigned char>(text[found->end]));
    }
    out.append(text, done);
    return out;
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

class Precompiled : public NormalizerStep {
 public:
  explicit Precompiled(Charsmap map) : map_(std::move(map)) {}
  std::string apply(std::string_view text, const GrowthLimit& limit) const override {
    return map_.apply(text, limit);
  }

 private:
  Charsmap map_;
};

std::optional<UnicodeForm> form_named(const std::string& type) {
  if (type == "NFC") return UnicodeForm::kNfc;
  if (type == "NFD") return UnicodeForm::kNfd;
  if (type == "NFKC") return UnicodeForm::kNfkc;
  if (type == "NFKD") return UnicodeForm::kNfkd;
  return std::nullopt;
}

std::unique_ptr<NormalizerStep> read_step(const Part& part) {
  if (const auto form = form_named(part.type())) return std::make_unique<NormalForm>(*form);
  if (part.type() == "Lowercase") return std::make_unique<Lowercase>();
  if (part.type() == "StripAccents") return std::make_unique<StripAccents>();
  if (part.type() == "Prepend") return std::make_unique<Prepend>(part.string("prepend"));
  if (part.type() == "Strip")
    return std::make_unique<Strip>(part.boolean("strip_left"), part.boolean("strip_right"));
  if (part.type() == "Replace")
    return std::make_unique<Replace>(part.pattern("pattern"), part.string("content"));
  if (part.type() == "Precompiled")
    return std::make_unique<Precompiled>(
        Charsmap(part.string("precompiled_charsmap"), part.path()));
  part.refuse();
}

}  // namespace

Normalizer Normalizer::read(const Json* root, const std::string& path) {
  Normalizer normalizer;
  normalizer.path_ = path;
  for (const Part& part : parts_of(root, "normalizer", "normalizers", path)) {
    normalizer.steps_.push_back(read_step(part));
  }
  return normalizer;
}

std::string Normalizer::apply(std::string_view text) const {
  const GrowthLimit limit = growth_limit(text.size());
  std::string result(text);
  for (const auto& step : steps_) {
    result = step->apply(result, limit);
    limit.require(result.size());
  }
  return result;
}

size_t Normalizer::origin(std::string_view text, size_t bytes) const {
  if (changes_nothing() || bytes == 0) return std::min(bytes, text.size());
  if (apply(text) == text) return std::min(bytes, text.size());
  const auto boundary = [&](size_t at) {
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    return at;
  };
  size_t min = 0, max = text.size();
  while (min < max) {  // the first beginning that gives as much
    const size_t middle = min + (max - min) / 2;
    if (apply(text.substr(0, boundary(middle))).size() >= bytes) {
      max = middle;
    } else {
      min = middle + 1;
    }
  }
  return boundary(min);
}

}  // namespace regroup
