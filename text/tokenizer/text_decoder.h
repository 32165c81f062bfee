#pragma once

#include <memory>
#include <string>
#include <vector>

#include "part_errors.h"
#include "regroup/base/strict_json.h"

namespace regroup {

/// One step from tokens to text: takes and gives a list of strings.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  /// @param limit  what a step that can make a text many times as long must ask
  virtual void apply(std::vector<std::string>& tokens, const GrowthLimit& limit) const = 0;
};

/// The decoder of a tokenizer.json: ByteLevel, Metaspace, ByteFallback, Fuse, Strip, Replace and sequences of them.
class TextDecoder {
 public:
  /// @param root  the value of "decoder"; null: tokens are joined by spaces
  /// @throws UnsupportedError TOK_UNSUPPORTED; CheckpointError TOK_PART
  static TextDecoder read(const Json* root, const std::string& path);

  /// @throws CheckpointError TOK_EXPANSION: the text grows beyond all measure
  std::string decode(std::vector<std::string> tokens) const;

 private:
  std::vector<std::unique_ptr<DecoderStep>> steps_;
  bool joins_with_spaces_ = false;
  std::string path_;
};

}  // namespace regroup
