#pragma once

#include <cctype>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace regroup::testing {

/// What a browser sees of a page's structure: every tag with its attributes' names, in order. Reads
/// tags as HTML's tokenizer does, apart from scripts, which a report must not have.
class Markup {
 public:
  explicit Markup(std::string_view page) : page_(page) {
    while (at_ < page_.size()) {
      const size_t tag = page_.find('<', at_);
      texts_.push_back(std::string(page_.substr(at_, tag - at_)));
      if (tag == std::string_view::npos) break;
      at_ = tag + 1;
      read_tag();
    }
  }
  /// "div class", "/div", "path class d" ...
  const std::vector<std::string>& tags() const { return tags_; }
  /// Everything between tags, still escaped.
  const std::vector<std::string>& texts() const { return texts_; }
  const std::vector<std::string>& values() const { return values_; }

  /// Throws unless every tag is closed in order, as XML asks for. Only for an <svg> element.
  void require_well_formed() const {
    std::vector<std::string> open;
    for (size_t i = 0; i < tags_.size(); ++i) {
      const std::string name = tags_[i].substr(0, tags_[i].find(' '));
      if (name[0] != '/') {
        if (!closed_[i]) open.push_back(name);
      } else if (open.empty() || open.back() != name.substr(1)) {
        throw std::runtime_error(name + " closes nothing");
      } else {
        open.pop_back();
      }
    }
    if (!open.empty()) throw std::runtime_error(open.back() + " stays open");
    for (const std::string& text : texts_) require_escaped(text);
    for (const std::string& value : values_) require_escaped(value);
  }

 private:
  static void require_escaped(const std::string& text) {
    for (size_t at = 0; (at = text.find('&', at)) != std::string::npos; ++at) {
      static const std::set<std::string> kKnown = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
      const std::string reference = text.substr(at, text.find(';', at) - at + 1);
      if (kKnown.count(reference) == 0) throw std::runtime_error("bad reference " + reference);
    }
  }
  char peek() const { return at_ < page_.size() ? page_[at_] : '>'; }
  void skip_space() {
    while (at_ < page_.size() && std::isspace(static_cast<unsigned char>(peek())) != 0) ++at_;
  }
  std::string read_name() {
    const size_t from = at_;
    while (at_ < page_.size() &&
           std::string_view(" \t\n\r\f=>").find(peek()) == std::string::npos) {
      if (peek() == '/' && at_ > from) break;
      ++at_;
    }
    return std::string(page_.substr(from, at_ - from));
  }
  void read_value() {
    ++at_;  // =
    const char quote = peek();
    const bool quoted = quote == '"' || quote == '\'';
    if (quoted) ++at_;
    const size_t end = quoted ? page_.find(quote, at_) : page_.find_first_of(" \t\n>", at_);
    if (end == std::string_view::npos) throw std::runtime_error("an attribute does not end");
    values_.push_back(std::string(page_.substr(at_, end - at_)));
    at_ = end + (quoted ? 1 : 0);
  }
  void read_tag() {
    std::string tag = read_name();
    bool closed = false;
    for (skip_space(); at_ < page_.size() && peek() != '>'; skip_space()) {
      if (peek() == '/') {
        closed = true;
        ++at_;
        continue;
      }
      closed = false;
      tag += " " + read_name();
      if (peek() == '=') read_value();
    }
    ++at_;
    tags_.push_back(tag);
    closed_.push_back(closed);
  }

  std::string_view page_;
  size_t at_ = 0;
  std::vector<std::string> tags_;
  std::vector<bool> closed_;
  std::vector<std::string> texts_;
  std::vector<std::string> values_;
};

}  // namespace regroup::testing
