#include "pre_tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "byte_symbols.h"
#include "metaspace.h"
#include "part_reader.h"
#include "split.h"
#include "unicode_tables.h"
#include "utf8.h"

namespace regroup {
namespace {

// GPT-2's, which the package has built in.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The characters of Whitespace's words: those of Oniguruma's \w with the joiners, without the other numbers of Latin-1.
constexpr std::string_view kWordCharacters =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

class Split : public PreTokenizerStep {
 public:
  Split(TextPattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  bool visit(const Piece& piece, const PieceSink& sink) const override {
    return split_piece(
        piece, [this](std::string_view text, size_t from) { return pattern_.find(text, from); },
        behavior_, invert_, sink);
  }

 private:
  TextPattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

/// Splits at each character of a class.
class CharacterSplit : public PreTokenizerStep {
 public:
  using Class = std::function<bool(char32_t)>;
  CharacterSplit(Class is_match, SplitBehavior behavior)
      : is_match_(std::move(is_match)), behavior_(behavior) {}
  bool visit(const Piece& piece, const PieceSink& sink) const override {
    return split_piece(
        piece, [this](std::string_view text, size_t from) { return find(text, from); }, behavior_,
        /*invert=*/false, sink);
  }

 private:
  std::optional<ByteRange> find(std::string_view text, size_t from) const {
    for (size_t at = from, n; at < text.size(); at += n) {
      n = character_bytes(static_cast<unsigned char>(text[at]));
      if (is_match_(character_at(text, at))) return ByteRange{.begin = at, .end = at + n};
    }
    return std::nullopt;
  }
  Class is_match_;
  SplitBehavior behavior_;
};

/// A space in front of each piece that has none.
class PrefixSpace : public PreTokenizerStep {
 public:
  bool visit(const Piece& piece, const PieceSink& sink) const override {
    if (piece.text.starts_with(' ')) return sink(piece);
    const std::string text = " " + std::string(piece.text);
    Piece longer = piece;
    longer.text = text;
    longer.added = piece.added + 1;
    return sink(longer);
  }
};

class Symbols : public PreTokenizerStep {
 public:
  bool visit(const Piece& piece, const PieceSink& sink) const override {
    const std::string text = to_byte_symbols(piece.text);
    Piece symbols = piece;
    symbols.text = text;
    symbols.added = to_byte_symbols(piece.text.substr(0, piece.added)).size();
    symbols.unit = PieceUnit::kSymbol;
    return sink(symbols);
  }
};

std::unique_ptr<PreTokenizerStep> split_by(CharacterSplit::Class is_match, SplitBehavior behavior) {
  return std::make_unique<CharacterSplit>(std::move(is_match), behavior);
}

std::unique_ptr<PreTokenizerStep> read_step(const Part& part) {
  const std::string& type = part.type();
  if (type == "Split") {
    const SplitBehavior behavior = read_behavior(part);
    return std::make_unique<Split>(part.pattern("pattern"), behavior,
                                   part.boolean("invert", false));
  }
  if (type == "Digits") {
    return split_by(is_numeric, part.boolean("individual_digits", false)
                                    ? SplitBehavior::kIsolated
                                    : SplitBehavior::kContiguous);
  }
  if (type == "Punctuation") {
    const bool said = part.find("behavior") != nullptr;
    return split_by(is_punctuation, said ? read_behavior(part) : SplitBehavior::kIsolated);
  }
  if (type == "Whitespace") {
    const std::string words_and_others = fmt::format(R"([{0}]+|[^\s{0}]+)", kWordCharacters);
    return std::make_unique<Split>(TextPattern(Regex(words_and_others, part.path())),
                                   SplitBehavior::kRemoved, /*invert=*/true);
  }
  if (type == "WhitespaceSplit") return split_by(is_white_space, SplitBehavior::kRemoved);
  if (type == "CharDelimiterSplit") {
    const std::string delimiter = part.string("delimiter");
    if (delimiter.empty()) part.refuse("must have a delimiter");
    const char32_t c = character_at(delimiter, 0);
    return split_by([c](char32_t other) { return other == c; }, SplitBehavior::kRemoved);
  }
  if (type == "Metaspace") return std::make_unique<Metaspace>(read_metaspace(part));
  part.refuse();
}

}  // namespace

PreTokenizer PreTokenizer::read(const Json* root, const std::string& path) {
  PreTokenizer pre;
  bool marks = false;
  for (const Part& part : parts_of(root, "pre_tokenizer", "pretokenizers", path)) {
    if (pre.ends_with_bytes_) {  // not the last: what follows sees symbols
      pre.steps_.push_back(std::make_unique<Symbols>());
      pre.ends_with_bytes_ = false;
      marks = true;
    }
    const bool bytes = part.type() == "ByteLevel";
    if (marks && (bytes || part.type() == "Metaspace")) {
      part.refuse("stands behind another part that changes what the model sees");
    }
    if (!bytes) {
      marks = marks || part.type() == "Metaspace";
      pre.steps_.push_back(read_step(part));
      continue;
    }
    if (part.boolean("add_prefix_space", true))
      pre.steps_.push_back(std::make_unique<PrefixSpace>());
    if (part.boolean("use_regex", true)) {
      pre.steps_.push_back(std::make_unique<Split>(TextPattern(Regex(kGpt2Pattern, path)),
                                                   SplitBehavior::kIsolated, /*invert=*/false));
    }
    pre.ends_with_bytes_ = true;
  }
  return pre;
}

bool PreTokenizer::visit_from(size_t step, const Piece& piece, const PieceSink& sink) const {
  if (piece.text.empty()) return true;
  if (step == steps_.size()) return sink(piece);
  if (step + 1 == steps_.size()) return steps_[step]->visit(piece, sink);
  return steps_[step]->visit(
      piece, [&](const Piece& smaller) { return visit_from(step + 1, smaller, sink); });
}

}  // namespace regroup
