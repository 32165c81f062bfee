#include "regroup/model/generate.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "regroup/base/error.h"
#include "regroup/base/uniform_stream.h"

namespace regroup {
namespace {

/// Draws from softmax(logits / temperature) cut to the nucleus of probability top_p
/// (arXiv:1904.09751, section 3.1). Likelier tokens come first, of equals the one with the smaller id; a heap
/// gives them one by one, where sorting the vocabulary would cost more than the rest of a token.
int64_t draw(const at::Tensor& logits, const SamplingOptions& options, UniformStream& random) {
  const at::Tensor wide =
      at::softmax(logits.to(at::kCPU, at::kDouble).div(options.temperature), 0).contiguous();
  const double* p = wide.data_ptr<double>();
  std::vector<int64_t> left(static_cast<size_t>(wide.numel()));
  std::iota(left.begin(), left.end(), int64_t{0});
  const auto later = [p](int64_t a, int64_t b) { return p[a] != p[b] ? p[a] < p[b] : a > b; };
  std::make_heap(left.begin(), left.end(), later);
  std::vector<int64_t> kept;
  double mass = 0;
  const auto keep_next = [&] {
    std::pop_heap(left.begin(), left.end(), later);
    kept.push_back(left.back());
    left.pop_back();
    mass += p[kept.back()];
  };
  if (options.top_p >= 1.0) {  // all are kept: only those before the one drawn are looked at
    const double target = random.next();
    while (!left.empty() && (kept.empty() || mass < target)) keep_next();
    return kept.back();
  }
  while (!left.empty() && (kept.empty() || mass < options.top_p)) keep_next();
  double rest = random.next() * mass;
  for (const int64_t id : kept) {
    rest -= p[id];
    if (rest <= 0) return id;
  }
  return kept.back();
}

}  // namespace

int64_t first_cache_room(int64_t prompt, int64_t max_new) {
  constexpr int64_t kRoom = 1024;  // of new tokens, at least
  const int64_t end = prompt + max_new;
  int64_t parts = 1;
  while (end / (2 * parts) >= prompt + kRoom) parts *= 2;
  return (end + parts - 1) / parts;
}

std::vector<int32_t> generate(const Decoder& decoder, const std::vector<int32_t>& prompt,
                              const SamplingOptions& options,
                              const std::function<bool(int32_t)>& on_token) {
  if (prompt.empty()) {
    throw ConfigError(
        {.code = "PROMPT_EMPTY", .message = "the prompt must hold at least one token"});
  }
  const c10::InferenceMode no_gradients;
  const ModelConfig& config = decoder.config();
  const int64_t capacity =
      first_cache_room(static_cast<int64_t>(prompt.size()), options.max_new_tokens);
  KvCache cache(config, 1, capacity, decoder.dtype(), decoder.device());
  UniformStream random(options.seed, "generate");
  std::vector<int32_t> made;
  std::vector<int64_t> text(prompt.begin(), prompt.end());
  const auto all = [&] {  // [1, seq]
    return at::tensor(text, at::kLong).unsqueeze(0).to(decoder.device());
  };
  at::Tensor ids = all();
  while (static_cast<int64_t>(made.size()) < options.max_new_tokens) {
    const at::Tensor hidden = decoder.hidden(ids, &cache);                      // [1, seq, hidden]
    const at::Tensor logits = decoder.logits(hidden.select(1, -1)).squeeze(0);  // [vocab]
    const int64_t next = options.temperature == 0.0 ? at::argmax(logits).item<int64_t>()
                                                    : draw(logits, options, random);
    const auto& ends = config.eos_token_ids;
    if (std::find(ends.begin(), ends.end(), next) != ends.end()) break;
    made.push_back(static_cast<int32_t>(next));
    if (on_token && !on_token(made.back())) break;
    text.push_back(next);
    if (config.rope.turns_anew(cache.length(), cache.length() + 1)) {
      cache = KvCache(config, 1, capacity, decoder.dtype(), decoder.device());
      ids = all();
    } else {
      ids = at::full_like(ids.narrow(1, 0, 1), next);
    }
  }
  return made;
}

}  // namespace regroup
