#include "text_decoder.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "byte_symbols.h"
#include "metaspace.h"
#include "part_reader.h"
#include "regroup/base/utf8.h"
#include "regroup/base/words.h"
#include "utf8.h"

namespace regroup {
namespace {

using Tokens = std::vector<std::string>;

std::string joined(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  for (size_t at = 0, found; at <= text.size(); at = found + what.size()) {
    found = std::min(text.find(what, at), text.size());
    out.append(text, at, found - at);
    if (found < text.size()) out += with;
  }
  return out;
}

/// Symbols become bytes; a token with another character, an added one, stands for itself.
class FromSymbols : public DecoderStep {
 public:
  void apply(Tokens& tokens, const GrowthLimit&) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += from_byte_symbols(token).value_or(token);
    tokens = {repaired_utf8(bytes)};
  }
};

class FromMarks : public DecoderStep {
 public:
  explicit FromMarks(const Metaspace& marks)
      : mark_(marks.mark()), drops_first_(marks.in_front() != MarkInFront::kNever) {}
  void apply(Tokens& tokens, const GrowthLimit&) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view space = i == 0 && drops_first_ ? "" : " ";
      tokens[i] = replaced(tokens[i], mark_, space);
    }
  }

 private:
  std::string mark_;
  bool drops_first_;
};

/// The byte of "<0x0A>".
std::optional<unsigned char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned char byte = 0;
  const char* end = token.data() + 5;
  const auto [stop, error] = std::from_chars(token.data() + 3, end, byte, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return byte;
}

/// Runs of byte tokens become text, or a U+FFFD for each byte where they are none.
class FromByteTokens : public DecoderStep {
 public:
  void apply(Tokens& tokens, const GrowthLimit&) const override {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (is_utf8(bytes)) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes += static_cast<char>(*byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }
};

class Fuse : public DecoderStep {
 public:
  void apply(Tokens& tokens, const GrowthLimit&) const override { tokens = {joined(tokens)}; }
};

/// Takes up to so many of one character off both ends of each token.
class StripEnds : public DecoderStep {
 public:
  StripEnds(std::string content, int64_t left, int64_t right)
      : content_(std::move(content)), left_(left), right_(right) {}
  void apply(Tokens& tokens, const GrowthLimit&) const override {
    for (std::string& token : tokens) {
      std::string_view text = token;
      for (int64_t i = 0; i < left_ && text.starts_with(content_); ++i)
        text.remove_prefix(content_.size());
      for (int64_t i = 0; i < right_ && text.ends_with(content_); ++i)
        text.remove_suffix(content_.size());
      token = std::string(text);
    }
  }

 private:
  std::string content_;
  int64_t left_, right_;
};

/// The suffix of a word's last token becomes a space, at the end of the text nothing.
class FromSuffix : public DecoderStep {
 public:
  explicit FromSuffix(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(Tokens& tokens, const GrowthLimit&) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view space = i + 1 < tokens.size() ? " " : "";
      tokens[i] = replaced(tokens[i], suffix_, space);
    }
  }

 private:
  std::string suffix_;
};

class ReplaceInTokens : public DecoderStep {
 public:
  ReplaceInTokens(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(Tokens& tokens, const GrowthLimit& limit) const override {
    size_t before = 0;  // bytes of the tokens in front
    for (std::string& token : tokens) {
      std::string text;
      size_t done = 0;
      for (auto found = pattern_.find(token, 0); found && found->end > found->begin;
           found = pattern_.find(token, done)) {
        text.append(token, done, found->begin - done);
        text += content_;
        limit.require(before + text.size());
        done = found->end;
      }
      text.append(token, done);
      before += text.size();
      token = std::move(text);
    }
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

std::unique_ptr<DecoderStep> read_step(const Part& part) {
  const std::string& type = part.type();
  if (type == "ByteLevel") return std::make_unique<FromSymbols>();
  if (type == "Metaspace") return std::make_unique<FromMarks>(read_metaspace(part));
  if (type == "ByteFallback") return std::make_unique<FromByteTokens>();
  if (type == "BPEDecoder") {
    const std::string suffix = part.string("suffix");
    if (suffix.empty()) part.refuse("must have a suffix");
    return std::make_unique<FromSuffix>(suffix);
  }
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Replace")
    return std::make_unique<ReplaceInTokens>(part.pattern("pattern"), part.string("content"));
  if (type == "Strip") {
    const std::string content = part.string("content");
    const bool one = !content.empty() &&
                     character_bytes(static_cast<unsigned char>(content[0])) == content.size();
    if (!one) part.refuse("must strip one character");
    return std::make_unique<StripEnds>(content, part.count("start"), part.count("stop"));
  }
  part.refuse();
}

}  // namespace

TextDecoder TextDecoder::read(const Json* root, const std::string& path) {
  TextDecoder decoder;
  decoder.path_ = path;
  decoder.joins_with_spaces_ = root == nullptr || root->is_null();
  for (const Part& part : parts_of(root, "decoder", "decoders", path))
    decoder.steps_.push_back(read_step(part));
  return decoder;
}

std::string TextDecoder::decode(Tokens tokens) const {
  size_t bytes = 0;
  for (const std::string& token : tokens) bytes += token.size();
  const GrowthLimit limit(path_, "decoder", bytes);
  for (const auto& step : steps_) step->apply(tokens, limit);
  return joins_with_spaces_ ? join(tokens, " ") : joined(tokens);
}

}  // namespace regroup
