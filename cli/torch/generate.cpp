#include "regroup/model/generate.h"

#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "generate_flags.h"
#include "notices.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "regroup/text/tokenizer.h"
#include "torch_part.h"

namespace regroup {
namespace {

/// Ids need no tokenizer: text is shown where there is one.
std::optional<Tokenizer> tokenizer_of(const GenerateFlags& flags, int64_t vocab_size) {
  if (!flags.prompt_ids.empty() && !Tokenizer::is_in(flags.model)) return {};
  return open_tokenizer(flags.model, vocab_size,
                        {.parse_special_tokens = flags.parse_special_tokens});
}

std::vector<int32_t> prompt_of(const GenerateFlags& flags, int64_t vocab_size,
                               const Tokenizer* tokenizer) {
  for (const int32_t id : flags.prompt_ids) {
    if (id >= 0 && id < vocab_size) continue;
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("--prompt-ids must lie in 0..{}, found {}", vocab_size - 1, id)});
  }
  if (!flags.prompt_ids.empty()) return flags.prompt_ids;
  std::vector<int32_t> prompt = tokenizer->encode(prompt_text(flags), tokenizer->adds_bos(), false);
  if (!prompt.empty()) return prompt;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = "the prompt must have at least one token, found an empty text",
                     .hint = "this tokenizer puts no token before a text: give --prompt a word"});
}

/// Prints text as it grows, or ids where there is no tokenizer. A token may be part of a character, so only
/// whole characters go out. What is decoded again at each token begins with the ids printed last: they decide
/// whether a space comes next.
class Stream {
 public:
  Stream(const Tokenizer* tokenizer, std::vector<int32_t> prompt, bool on)
      : tokenizer_(tokenizer), recent_(std::move(prompt)), on_(on) {
    if (!on_) return;
    if (tokenizer_ != nullptr) print();
  }
  void add(int32_t id) {
    if (!on_) return;
    if (tokenizer_ == nullptr) {
      fmt::print("{} ", id);
      std::fflush(stdout);
      return;
    }
    recent_.push_back(id);
    print();
  }

 private:
  void print() {
    const std::string text = tokenizer_->decode(recent_);
    if (text.ends_with("\xEF\xBF\xBD") || text.size() <= shown_bytes_) return;
    std::fputs(text.c_str() + shown_bytes_, stdout);
    std::fflush(stdout);
    recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(shown_ids_));
    shown_ids_ = recent_.size();
    shown_bytes_ = tokenizer_->decode(recent_).size();
  }

  const Tokenizer* tokenizer_;
  std::vector<int32_t> recent_;  // ids of what was printed last, then those not printed yet
  size_t shown_ids_ = 0;
  size_t shown_bytes_ = 0;
  bool on_;
};

/// The continuation alone. Decoding the new ids by themselves would lose the space that joins them to the prompt.
Json continuation(const Tokenizer* tokenizer, const std::vector<int32_t>& prompt,
                  const std::vector<int32_t>& ids) {
  if (tokenizer == nullptr) return {};
  std::vector<int32_t> whole = prompt;
  whole.insert(whole.end(), ids.begin(), ids.end());
  const std::string all = tokenizer->decode(whole);
  const std::string before = tokenizer->decode(prompt);
  return all.substr(std::min(before.size(), all.size()));
}

}  // namespace

CommandOutput run_generate(const GenerateFlags& flags, const Globals& globals) {
  const at::Device device = open_device(globals.device);
  const ModelFolder folder = ModelFolder::open(flags.model);
  log_notices(folder);
  const int64_t vocab_size = folder.config().vocab_size;
  const std::optional<Tokenizer> found = tokenizer_of(flags, vocab_size);
  const Tokenizer* tokenizer = found ? &*found : nullptr;
  const Dtype stored = folder.dtype(folder.tensors().front().name);
  const Decoder decoder =
      load_decoder(folder, parse_compute_dtype(flags.dtype, device, stored), device);
  const std::vector<int32_t> prompt = prompt_of(flags, vocab_size, tokenizer);
  Stream stream(tokenizer, prompt, !globals.json);
  const Stopwatch watch;
  const std::vector<int32_t> ids = generate(decoder, prompt,
                                            {.max_new_tokens = flags.max_new_tokens,
                                             .temperature = flags.temperature,
                                             .top_p = flags.top_p,
                                             .seed = globals.seed},
                                            [&](int32_t id) {
                                              stream.add(id);
                                              return stop_signal() == 0;
                                            });
  if (stop_signal() != 0 && !globals.json) std::fputc('\n', stdout);
  throw_if_stopped(/*resumable=*/false);
  const double rate = static_cast<double>(ids.size()) / watch.seconds();
  CommandOutput output;
  output.json = {{"text", continuation(tokenizer, prompt, ids)},
                 {"prompt_ids", prompt},
                 {"ids", ids},
                 {"tokens_per_s", rate}};
  output.text = "\n";
  return output;
}

}  // namespace regroup
