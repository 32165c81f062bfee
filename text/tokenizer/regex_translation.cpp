#include "regex_translation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "regex_class.h"
#include "regroup/base/error.h"
#include "utf8.h"

namespace regroup {
namespace {

constexpr size_t kMaxPattern = 64 << 10;
constexpr size_t kMaxGroups = 250;

/// A group that is open.
struct Group {
  size_t begin;          ///< where it begins in the output
  bool ignores_case;     ///< what the group around it does
  bool repeats = false;  ///< something without bound in it
};

class Translation {
 public:
  Translation(std::string_view pattern, const std::string& path) : reader_(pattern, path), out_() {}

  std::string take() {
    while (!reader_.done()) {
      if (std::string_view("|()[").find(reader_.peek()) != std::string_view::npos) last_ = 0;
      switch (const char c = reader_.peek()) {
        case '(':
          open_group();
          break;
        case ')':
          close_group();
          break;
        case '[':
          atom([&] { character_class(); });
          break;
        case '|':
        case '^':
        case '$':
          reader_.skip(1);
          out_ += c;
          atom_.reset();
          break;
        case '?':
        case '*':
        case '+':
          quantifier();
          break;
        case '{':
          brace();
          break;
        default:
          atom([&] { one_character(); });
      }
    }
    if (!groups_.empty()) reader_.refuse("must close every group");
    return std::move(out_);
  }

 private:
  template <typename Write>
  void atom(const Write& write) {
    atom_ = out_.size();
    atom_repeats_ = false;
    write();
  }

  void character_class() {
    const std::string text = translate_class(reader_);
    if (ignores_case_ && text.find("\\p") != std::string::npos) refuse_case();
    out_ += text;
  }

  [[noreturn]] void refuse_case() const {
    reader_.refuse("must ignore the case of English contractions alone");
  }

  void one_character() {
    if (reader_.peek() == '.') {
      reader_.skip(1);
      out_ += '.';
    } else if (reader_.peek() == '\\') {
      if (ignores_case_) refuse_case();
      out_ += translate_escape(reader_);
    } else {
      const char32_t c = reader_.character();
      if (ignores_case_ && !folds_alike(c)) refuse_case();
      last_ = c;
      out_ += literal(c);
    }
  }

  /// Other letters, and "ss" and "st", fold to several characters.
  bool folds_alike(char32_t c) const {
    const bool joins =
        (last_ == 's' || last_ == 'S') && c < 0x80 &&
        std::string_view("sStT").find(static_cast<char>(c)) != std::string_view::npos;
    return c < 0x80 && !joins &&
           std::string_view("'strevmldSTREVMLD").find(static_cast<char>(c)) !=
               std::string_view::npos;
  }

  void open_group() {
    if (groups_.size() == kMaxGroups) reader_.refuse("must not nest groups so deep");
    groups_.push_back({.begin = out_.size(), .ignores_case = ignores_case_});
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?>", "(?i:"}) {
      if (!reader_.take(kind)) continue;
      ignores_case_ = ignores_case_ || kind == "(?i:";
      out_ += kind;
      atom_.reset();
      return;
    }
    if (reader_.starts_with("(?")) reader_.refuse("must have no such group");
    reader_.skip(1);
    out_ += "(?:";
    atom_.reset();
  }

  void close_group() {
    if (groups_.empty()) reader_.refuse("must open the group it closes");
    reader_.skip(1);
    out_ += ')';
    const Group group = groups_.back();
    groups_.pop_back();
    ignores_case_ = group.ignores_case;
    atom_ = group.begin;
    atom_repeats_ = group.repeats;
    if (group.repeats && !groups_.empty()) groups_.back().repeats = true;
  }

  void require_atom() {
    if (!atom_) reader_.refuse("must have something to repeat");
  }

  /// An unbounded repeat of what repeats without bound itself may take exponential time.
  void unbounded() {
    if (atom_repeats_) reader_.refuse("must not repeat without bound what does so itself");
    if (!groups_.empty()) groups_.back().repeats = true;
  }

  void quantifier() {
    require_atom();
    const char c = reader_.peek();
    reader_.skip(1);
    if (c != '?') unbounded();
    out_ += c;
    if (!reader_.done() && (reader_.peek() == '?' || reader_.peek() == '+')) {
      out_ += reader_.peek();
      reader_.skip(1);
    }
    end_quantifier();
  }

  /// {n}, {n,} or {n,m}; any other brace stands for itself.
  void brace() {
    const auto interval = reader_.interval();
    if (!interval) {
      atom([&] { out_ += literal(reader_.character()); });
      return;
    }
    require_atom();
    const bool open_end = interval->ends_with(",}");
    if (open_end) unbounded();
    out_ += *interval;
    const bool exact = interval->find(',') == std::string::npos;
    if (!reader_.done() && reader_.peek() == '?') {
      if (exact) reader_.refuse("must not have '?' behind an exact number");
      out_ += '?';
      reader_.skip(1);
    } else if (!reader_.done() && reader_.peek() == '+') {
      // Not possessive in Ruby: the interval is repeated.
      if (open_end) reader_.refuse("must not repeat without bound what does so itself");
      out_.insert(*atom_, "(?:");
      out_ += ")+";
      reader_.skip(1);
      unbounded();
    }
    end_quantifier();
  }

  void end_quantifier() {
    atom_.reset();
    if (!reader_.done() && std::string_view("?*+").find(reader_.peek()) != std::string_view::npos)
      reader_.refuse("must not repeat a repeat");
  }

  RegexReader reader_;
  std::string out_;
  std::vector<Group> groups_;
  std::optional<size_t> atom_;  // where the last thing that can be repeated begins
  bool atom_repeats_ = false;
  bool ignores_case_ = false;
  char32_t last_ = 0;  // the literal in front
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& path) {
  if (pattern.empty() || pattern.size() > kMaxPattern) {
    RegexReader(pattern, path).refuse(fmt::format("must have 1 to {} bytes", kMaxPattern));
  }
  return Translation(pattern, path).take();
}

}  // namespace regroup
