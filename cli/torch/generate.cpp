#include "regroup/model/generate.h"

#include <fmt/format.h>

#include <cstdio>

#include "generate_flags.h"
#include "notices.h"
#include "progress.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/stop_signal.h"
#include "regroup/checkpoint/tokenizer.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "torch_part.h"

namespace regroup {
namespace {

/// Prints text as it grows. A token may be part of a character, so only whole characters go out.
class Stream {
 public:
  Stream(const Tokenizer& tokenizer, std::vector<int32_t> ids, bool on)
      : tokenizer_(tokenizer), ids_(std::move(ids)), shown_(tokenizer.decode(ids_)), on_(on) {
    if (on_) std::fputs(shown_.c_str(), stdout);
  }
  void add(int32_t id) {
    if (!on_) return;
    ids_.push_back(id);
    const std::string text = tokenizer_.decode(ids_);
    if (text.ends_with("\xEF\xBF\xBD") || text.size() < shown_.size()) return;
    std::fputs(text.substr(shown_.size()).c_str(), stdout);
    std::fflush(stdout);
    shown_ = text;
  }

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;
  std::string shown_;
  bool on_;
};

}  // namespace

CommandOutput run_generate(const GenerateFlags& flags, const Globals& globals) {
  const std::string text = prompt_text(flags);
  const at::Device device = open_device(globals.device);
  const ModelFolder folder = ModelFolder::open(flags.model);
  log_notices(folder);
  const Tokenizer tokenizer = Tokenizer::open(flags.model);
  require_vocabulary(tokenizer, folder.config().vocab_size, flags.model);
  const Dtype stored = folder.dtype(folder.tensors().front().name);
  const Decoder decoder =
      load_decoder(folder, parse_compute_dtype(flags.dtype, device, stored), device);
  const std::vector<int32_t> prompt = tokenizer.encode(text, tokenizer.adds_bos(), false);
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
  std::vector<int32_t> whole = prompt;
  whole.insert(whole.end(), ids.begin(), ids.end());
  // Decoding the new ids alone would lose the space that joins them to the prompt.
  const std::string all = tokenizer.decode(whole);
  const std::string before = tokenizer.decode(prompt);
  CommandOutput output;
  output.json = {{"text", all.substr(std::min(before.size(), all.size()))},
                 {"prompt_ids", prompt},
                 {"ids", ids},
                 {"tokens_per_s", rate}};
  output.text = "\n";
  return output;
}

}  // namespace regroup
