#include "calibration_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "regroup/base/error.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/uniform_stream.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/model/generate.h"
#include "regroup/model/load.h"
#include "regroup/text/token_stream.h"

namespace regroup {
namespace {

/// The first tokens of every file.
CalibrationText read_files(const ModelFolder& model, const CalibrationOptions& options,
                           int64_t of_each) {
  const int64_t vocab_size = model.config().vocab_size;
  CalibrationText text;
  std::optional<Tokenizer> tokenizer;
  for (const std::string& path : options.files) {
    throw_if_stopped(/*resumable=*/false);
    TokenStream stream;
    if (is_text_file(path)) {
      if (!tokenizer) {
        tokenizer.emplace(open_tokenizer(model.path(), vocab_size, options.documents));
      }
      stream = read_text_stream(path, *tokenizer, options.documents, of_each);
    } else {
      stream = read_token_stream(path, TokenFormat::kAuto, vocab_size, of_each);
    }
    text.ids.insert(text.ids.end(), stream.ids.begin(), stream.ids.end());
    text.ends.push_back(static_cast<int64_t>(text.ids.size()));
  }
  return text;
}

}  // namespace

std::vector<int64_t> CalibrationText::windows(int64_t seq_len) const {
  std::vector<int64_t> counts;
  int64_t before = 0;
  for (const int64_t end : ends) {
    // Those that begin at a multiple of seq_len below `end` and are whole.
    const int64_t upto =
        std::min((end + seq_len - 1) / seq_len, static_cast<int64_t>(ids.size()) / seq_len);
    counts.push_back(upto - before);
    before = upto;
  }
  return counts;
}

CalibrationText read_calibration_text(const ModelFolder& model, const CalibrationOptions& options,
                                      int64_t tokens) {
  const auto files = static_cast<int64_t>(options.files.size());
  const int64_t all =
      tokens > INT64_MAX / kTextToChooseFrom ? INT64_MAX : kTextToChooseFrom * tokens;
  CalibrationText text = read_files(model, options, std::max<int64_t>(1, all / files));
  if (static_cast<int64_t>(text.ids.size()) < tokens && all / files < tokens) {
    text = read_files(model, options, tokens);
  }
  return text;
}

std::vector<int64_t> own_text(const ModelFolder& model, int64_t seq_len, int64_t tokens,
                              uint64_t seed, at::Device device, const TextProgress& writes) {
  const auto count = static_cast<size_t>(tokens / seq_len);
  const auto report = [&](int64_t made) {
    if (writes) writes(made, static_cast<int64_t>(count) * seq_len);
  };
  report(0);
  std::vector<int64_t> first =
      first_tokens(model.config().vocab_size, static_cast<int64_t>(count), seed);
  const size_t different = first.size();
  while (first.size() < count) first.push_back(first[first.size() - different]);
  const Decoder parent = load_decoder(model, at::kFloat, device);
  const at::Tensor texts = sample_texts(parent, first, seq_len, kTextsAtOnce, seed, report);
  const int64_t* ids = texts.data_ptr<int64_t>();
  return {ids, ids + texts.numel()};
}

std::vector<int64_t> first_tokens(int64_t vocab_size, int64_t count, uint64_t seed) {
  std::vector<int64_t> ids(static_cast<size_t>(vocab_size));
  std::iota(ids.begin(), ids.end(), int64_t{0});
  UniformStream random(seed, "first tokens");
  const auto taken = static_cast<size_t>(std::min(count, vocab_size));
  for (size_t i = 0; i < taken; ++i) {
    std::swap(ids[i], ids[i + random.next_bits() % (ids.size() - i)]);
  }
  ids.resize(taken);
  return ids;
}

void require_calibration_tokens(const CalibrationOptions& options, int64_t found, int64_t seq_len,
                                int64_t needed_tokens) {
  // Two windows at least: one to work on, one held out.
  const int64_t needed = std::max(needed_tokens, 2 * seq_len);
  if (found / seq_len * seq_len >= needed) return;
  throw CheckpointError(
      {.code = "TEXT_TOO_SHORT",
       .message = fmt::format("calibration needs at least {} tokens in whole windows of {}, found "
                              "{} tokens",
                              needed, seq_len, found),
       .path = options.reads_own_text() ? "" : options.files.front(),
       .hint = std::string(options.reads_own_text() ? "" : "give more text with `calibration`, ") +
               "raise `calibration-tokens`, or lower `calibration-seq-len`"});
}

}  // namespace regroup
