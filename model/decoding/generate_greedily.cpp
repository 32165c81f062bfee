#include <ATen/ops/argmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/model/generate.h"

namespace regroup {
namespace {

using at::Tensor;

/// As many as the kernels take that read every weight once; more would be multiplied otherwise, and rounded otherwise.
constexpr int64_t kSequencesAtOnce = 8;
constexpr int64_t kCacheBytes = int64_t{4} << 30;  // of all sequences, but for one that needs more

/// Tokens of the longest text.
int64_t longest_text(const std::vector<GreedyPrompt>& prompts) {
  int64_t longest = 0;
  for (const GreedyPrompt& prompt : prompts) {
    longest = std::max(longest, static_cast<int64_t>(prompt.ids.size()) + prompt.max_new_tokens);
  }
  return longest;
}

/// Sequences whose caches have room for `tokens` each: 1, 2, 4 or 8, as the cache grows.
size_t sequences_at_once(const Decoder& decoder, int64_t tokens) {
  const ModelConfig& config = decoder.config();
  const auto element = static_cast<int64_t>(c10::elementSize(decoder.dtype()));
  const int64_t bytes = 2 * config.n_layers * config.kv_size() * element * tokens;
  const int64_t fit = kCacheBytes / std::max<int64_t>(1, bytes);
  return std::bit_floor(static_cast<size_t>(std::clamp<int64_t>(fit, 1, kSequencesAtOnce)));
}

class Continuations {
 public:
  Continuations(const Decoder& decoder, const std::vector<GreedyPrompt>& prompts,
                const std::function<bool(size_t, int32_t)>& on_token,
                const std::function<void(size_t)>& on_end)
      : decoder_(decoder),
        prompts_(prompts),
        on_token_(on_token),
        on_end_(on_end),
        at_once_(sequences_at_once(decoder, longest_text(prompts))),
        cache_(decoder.config(), 0, longest_text(prompts), decoder.dtype(), decoder.device()) {}

  void run() {
    size_t waiting = 0;
    while (waiting < prompts_.size() || !active_.empty()) {
      while (waiting < prompts_.size() && active_.size() < at_once_) begin(waiting++);
      if (!active_.empty()) step();
    }
  }

 private:
  struct Active {
    size_t prompt;
    int64_t last;  ///< token, not fed yet
    int64_t made;
  };

  /// Keys in a cache stay as they were turned: where angles depend on the length, a text is written alone.
  bool turns_by_length(const GreedyPrompt& prompt) const {
    const ModelConfig& config = decoder_.config();
    const auto begin = static_cast<int64_t>(prompt.ids.size());
    const int64_t end = begin + prompt.max_new_tokens;
    return config.rope.turns_anew(begin, end) ||
           config.rope.depends_on_length(end, config.max_positions);
  }

  void begin(size_t index) {
    const GreedyPrompt& prompt = prompts_[index];
    if (turns_by_length(prompt)) {
      generate(decoder_, prompt.ids, {.max_new_tokens = prompt.max_new_tokens},
               [&](int32_t id) { return on_token_(index, id); });
      on_end_(index);
      return;
    }
    const auto length = static_cast<int64_t>(prompt.ids.size());
    KvCache own(decoder_.config(), 1, length, decoder_.dtype(), decoder_.device());
    const std::vector<int64_t> wide(prompt.ids.begin(), prompt.ids.end());
    const Tensor ids = at::tensor(wide, at::kLong).unsqueeze(0).to(decoder_.device());
    const Tensor hidden = decoder_.hidden(ids, &own).select(1, -1);
    Active text{.prompt = index, .last = 0, .made = 0};
    if (goes_on(text, at::argmax(decoder_.logits(hidden)).item<int64_t>())) {
      cache_.add(own);
      active_.push_back(text);
    } else {
      on_end_(index);
    }
  }

  /// Whether a text needs another token behind `next`.
  bool goes_on(Active& text, int64_t next) const {
    const GreedyPrompt& prompt = prompts_[text.prompt];
    const auto& ends = decoder_.config().eos_token_ids;
    if (text.made == prompt.max_new_tokens) return false;
    if (std::find(ends.begin(), ends.end(), next) != ends.end()) return false;
    text.last = next;
    ++text.made;
    return on_token_(text.prompt, static_cast<int32_t>(next)) && text.made < prompt.max_new_tokens;
  }

  void step() {
    std::vector<int64_t> last;
    for (const Active& text : active_) last.push_back(text.last);
    const Tensor ids = at::tensor(last, at::kLong).unsqueeze(1).to(decoder_.device());
    const Tensor logits = decoder_.logits(decoder_.hidden(ids, &cache_).select(1, -1));
    const Tensor next = at::argmax(logits, 1).to(at::kCPU);  // [active]
    for (size_t i = active_.size(); i-- > 0;) {
      if (goes_on(active_[i], next.data_ptr<int64_t>()[i])) continue;
      const size_t prompt = active_[i].prompt;
      cache_.remove(static_cast<int64_t>(i));
      active_[i] = active_.back();
      active_.pop_back();
      on_end_(prompt);
    }
  }

  const Decoder& decoder_;
  const std::vector<GreedyPrompt>& prompts_;
  const std::function<bool(size_t, int32_t)>& on_token_;
  const std::function<void(size_t)>& on_end_;
  size_t at_once_;
  KvCache cache_;
  std::vector<Active> active_;
};

}  // namespace

void generate_greedily(const Decoder& decoder, const std::vector<GreedyPrompt>& prompts,
                       const std::function<bool(size_t prompt, int32_t id)>& on_token,
                       const std::function<void(size_t prompt)>& on_end) {
  for (const GreedyPrompt& prompt : prompts) {
    if (!prompt.ids.empty()) continue;
    throw ConfigError(
        {.code = "PROMPT_EMPTY", .message = "the prompt must hold at least one token"});
  }
  const c10::InferenceMode no_gradients;
  Continuations(decoder, prompts, on_token, on_end).run();
}

}  // namespace regroup
