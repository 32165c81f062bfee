#include "calibration_text.h"

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/token_stream.h"

namespace regroup {

at::Tensor calibration_windows(const ModelFolder& model, const CalibrationOptions& options,
                               int64_t needed_tokens) {
  const ModelConfig& config = model.config();
  const int64_t seq = calibration_seq_len(config, options);
  std::vector<int64_t> ids;
  std::optional<Tokenizer> tokenizer;
  for (const std::string& path : options.files) {
    const int64_t left = options.tokens - static_cast<int64_t>(ids.size());
    if (left <= 0) break;
    TokenStream stream;
    if (is_text_file(path)) {
      if (!tokenizer) {
        tokenizer.emplace(Tokenizer::open(model.path()));
        require_vocabulary(*tokenizer, config.vocab_size, model.path());
      }
      stream = read_text_stream(path, *tokenizer, options.documents, left);
    } else {
      stream = read_token_stream(path, TokenFormat::kAuto, config.vocab_size, left);
    }
    ids.insert(ids.end(), stream.ids.begin(), stream.ids.end());
  }
  const int64_t windows = static_cast<int64_t>(ids.size()) / seq;
  // Two windows at least: one to work on, one held out.
  const int64_t needed = std::max(needed_tokens, 2 * seq);
  if (windows * seq < needed) {
    throw CheckpointError(
        {.code = "TEXT_TOO_SHORT",
         .message =
             fmt::format("calibration needs at least {} tokens in whole windows of {}, found "
                         "{} tokens",
                         needed, seq, ids.size()),
         .path = options.files.front(),
         .tensor = {},
         .hint = "give more text with --calibration, raise --calibration-tokens, or lower "
                 "--calibration-seq-len"});
  }
  ids.resize(static_cast<size_t>(windows * seq));
  return at::tensor(ids, at::kLong).view({windows, seq});
}

}  // namespace regroup
