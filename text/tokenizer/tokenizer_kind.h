#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/text/tokenizer.h"

namespace regroup {

/// A way to turn text into ids and back: what Tokenizer asks of tokenizer.model and of tokenizer.json.
class Tokenizer::Kind {
 public:
  virtual ~Kind() = default;
  /// Appends the ids of a text, without BOS and EOS. It may end once `ids` has `enough`.
  /// @param special  the text of a special token is the token; after allow_special_tokens()
  /// @return  false if it ended early
  virtual bool encode(std::string_view text, size_t enough, bool special,
                      std::vector<int32_t>& ids) const = 0;
  /// The text of ids from 0 on.
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;
  /// Bytes of the text that its first `n_ids` ids, from 1 on, stand for; all of it where there are no more.
  virtual int64_t prefix_bytes(std::string_view text, size_t n_ids, bool special) const = 0;
  virtual int64_t vocab_size() const = 0;
  /// The highest id of an added token that a text may be given, -1 without any.
  virtual int32_t highest_added() const = 0;
  /// Makes sure that special tokens are found in texts exactly. @throws UnsupportedError TOK_UNSUPPORTED
  virtual void allow_special_tokens() = 0;

  /// What may be put around a text; -1: there is no such token.
  struct Ends {
    int32_t bos = -1;
    int32_t eos = -1;
    bool add_bos = false;
    bool add_eos = false;
  };
  Ends ends;
  std::string digest;  ///< SHA-256 of what decides the ids
};

}  // namespace regroup
