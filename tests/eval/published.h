#pragma once

#include <string>

#include "regroup/eval/text_eval.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"

namespace regroup::testing {

inline const std::string kShared = "../shared";
inline const std::string kValid = kShared + "/data/text/tinystories-valid.txt";

/// The first `max_tokens` tokens of the published validation text.
inline TokenStream valid_stream(const std::string& model, int64_t max_tokens) {
  return read_text_stream(kValid, Tokenizer::open(model), {}, max_tokens);
}

struct Total {
  double loss = 0;
  double kl = 0;
  double agreement = 0;
};
inline Total total_of(const TextScore& score) {
  Total total;
  double tokens = 0;
  for (const WindowScore& window : score.windows) {
    total.loss += window.nll;
    total.kl += window.kl;
    total.agreement += static_cast<double>(window.agreed);
    tokens += static_cast<double>(window.tokens);
  }
  return {total.loss / tokens, total.kl / tokens, total.agreement / tokens};
}

inline Decoder load_published(const std::string& model) {
  return load_decoder(ModelFolder::open(model), at::kFloat, at::kCPU);
}

}  // namespace regroup::testing
