#pragma once

#include <memory>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// One step from tokens to text: takes and gives a list of strings.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// The decoder of a tokenizer.json: ByteLevel, Metaspace, ByteFallback, Fuse, Strip, Replace and sequences of them.
class TextDecoder {
 public:
  /// @param root  the value of "decoder"; null: tokens are joined by spaces
  /// @throws UnsupportedError TOK_UNSUPPORTED; CheckpointError TOK_PART
  static TextDecoder read(const Json* root, const std::string& path);

  std::string decode(std::vector<std::string> tokens) const;

 private:
  std::vector<std::unique_ptr<DecoderStep>> steps_;
  bool joins_with_spaces_ = false;
};

}  // namespace regroup
