#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "normalizer.h"
#include "prefix_tree.h"
#include "vocabulary.h"

namespace regroup {

/// A token that is found in texts as a whole, before the model sees them.
struct AddedToken {
  std::string text;
  int32_t id = -1;
  bool single_word = false;  ///< not inside a word
  bool takes_left = false;   ///< takes the white space in front
  bool takes_right = false;
  bool normalized = false;  ///< is looked for in the normalized text
  bool special = false;     ///< its text stays text, unless it is asked for
};

/// A part of a text: an added token, or text between two.
struct AddedSegment {
  std::string_view text;
  int32_t id = -1;  ///< -1: text
};

/// The added tokens of a tokenizer.
class AddedTokens {
 public:
  /// Ids are those that the tokenizers package gives: that of the vocabulary where it has the text, else the next free one.
  /// @throws CheckpointError TOK_ADDED: the file says another one; LIMIT_ADDED_TOKENS,
  /// TOK_TOKEN_LENGTH
  AddedTokens(std::vector<AddedToken> tokens, const Vocabulary& vocabulary,
              const Normalizer& normalizer, const std::string& path);

  /// That special tokens can be found in texts. @throws UnsupportedError TOK_UNSUPPORTED: one is found as a word alone
  void allow_special();

  using Sink = std::function<bool(const AddedSegment&)>;
  /// Hands on a text in order, cut at the tokens that are looked for before (or after) it is normalized.
  /// @param special  special tokens are looked for too; else their text stays text, of which the first is told
  /// @return false when the sink did
  bool visit(std::string_view text, bool normalized, bool special, const Sink& sink) const;

  /// The text of an id, or nullptr.
  const std::string* token(int32_t id) const;
  int32_t find(std::string_view text) const;  ///< -1: none
  /// The highest id that a text may be given, -1 without any.
  int32_t highest() const { return highest_; }

 private:
  /// The tokens looked for at one time.
  struct Searched {
    PrefixTree tree;
    std::vector<bool> starts = std::vector<bool>(256);
    bool wanted = false;   ///< one of them is found
    bool special = false;  ///< one of them stays text
  };
  /// Says once that texts hold a special token.
  void tell_special(const AddedToken& token) const;
  void require_parts(const AddedToken& token) const;
  void give_ids(const Vocabulary& vocabulary, const std::string& path);

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, int32_t> by_text_;
  Searched before_, after_;
  std::string path_;
  std::atomic<int32_t> highest_ = -1;  // allow_special() may come while texts are encoded
  mutable std::atomic<bool> told_ = false;
};

/// That added tokens, as they are looked for, have no more bytes together.
/// @throws CheckpointError LIMIT_ADDED_TOKENS
void require_added_bytes(size_t bytes, const std::string& path);

}  // namespace regroup
