#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "regroup/model/decoder.h"

namespace regroup {

struct SamplingOptions {
  int64_t max_new_tokens = 128;
  double temperature = 0.0;  ///< 0: the most likely token, always
  double top_p = 1.0;        ///< the smallest set of tokens with at least this probability
  uint64_t seed = 0;
};

/// Tokens that the cache has room for at the start: as many as are asked for, within reason. It doubles when it
/// is full, and from here it comes out at the end of the text: behind it lies less than a thousandth.
int64_t first_cache_room(int64_t prompt, int64_t max_new);

/// Continues `prompt` token by token with a KV cache.
/// @param on_token  called with each new id; return false to stop
/// @return the new ids, an end-of-sequence id excluded
std::vector<int32_t> generate(const Decoder& decoder, const std::vector<int32_t>& prompt,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& on_token = {});

struct GreedyPrompt {
  std::vector<int32_t> ids;
  int64_t max_new_tokens = 128;
};

/// Continues several prompts with their most likely tokens, a few prompts at a time: one that ends makes room for the
/// next. On a CPU each has the tokens that generate() gives it alone.
/// @param on_token  called with each new id of a prompt; return false to stop it
/// @param on_end    called when a prompt has no further token; it may throw to end the work
void generate_greedily(const Decoder& decoder, const std::vector<GreedyPrompt>& prompts,
                       const std::function<bool(size_t prompt, int32_t id)>& on_token,
                       const std::function<void(size_t prompt)>& on_end);

/// Texts that the model writes itself, many at once: each token is drawn from the softmax of its logits, ends of
/// documents too, as the model saw them in training.
/// @param first  the first id of each text
/// @param at_once  texts that are written together
/// @param made   called with the number of tokens that are there
/// @return       int64 [texts, seq_len], on the host; follows from the model and the seed
/// @throws StoppedError
at::Tensor sample_texts(const Decoder& decoder, const std::vector<int64_t>& first, int64_t seq_len,
                        int64_t at_once, uint64_t seed,
                        const std::function<void(int64_t tokens)>& made = {});

}  // namespace regroup
