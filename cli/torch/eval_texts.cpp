#include "eval_texts.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "flag_values.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"

namespace regroup {
namespace {

void require_same_vocabulary(const EvalModels& models) {
  const EvaluatedModel& first = models.all().front().info;
  for (const EvalModel& model : models.all()) {
    if (model.info.config.vocab_size == first.config.vocab_size) continue;
    throw ConfigError(
        {.code = "VOCABULARY",
         .message = fmt::format("all models must share one vocabulary, found {} and {} "
                                "({})",
                                first.config.vocab_size, model.info.config.vocab_size,
                                printable(model.info.path)),
         .path = first.path,
         .hint = "losses of other tokens do not compare; scores of --task do"});
  }
}

std::vector<TokenStream> read_streams(const EvalFlags& flags, const ModelConfig& config) {
  const int64_t max = flags.max_tokens.empty() ? 0 : parse_count(flags.max_tokens, "--max-tokens");
  std::vector<TokenStream> streams;
  if (!flags.text.empty()) {
    const Tokenizer tokenizer =
        open_tokenizer(flags.models.front(), config.vocab_size, flags.documents);
    for (const std::string& path : flags.text) {
      streams.push_back(read_text_stream(path, tokenizer, flags.documents, max));
    }
  }
  for (const std::string& path : flags.tokens) {
    streams.push_back(read_token_stream(path, flags.token_format, config.vocab_size, max));
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    require_window(streams[i]);
    for (size_t j = 0; j < i; ++j) {
      if (streams[i].name == streams[j].name) streams[i].name += fmt::format("-{}", i + 1);
    }
  }
  return streams;
}

WindowOptions window_options(const EvalFlags& flags, const ModelConfig& config) {
  WindowOptions options;
  options.seq_len = eval_seq_len(flags.seq_len, config);
  if (flags.batch_size != "auto")
    options.batch_size = parse_count(flags.batch_size, "--batch-size");
  return options;
}

/// Models that are scored on the same batches.
struct Together {
  std::vector<size_t> models;  ///< the baseline first, where there is one
  bool with_baseline = false;
};

std::vector<Together> pairs_of(const EvalModels& models) {
  std::vector<Together> pairs;
  const int64_t baseline = models.baseline();
  for (size_t m = 0; m < models.all().size(); ++m) {
    if (baseline < 0) {
      pairs.push_back({{m}, false});
    } else if (static_cast<int64_t>(m) != baseline) {
      pairs.push_back({{static_cast<size_t>(baseline), m}, true});
    }
  }
  if (pairs.empty()) pairs.push_back({{static_cast<size_t>(baseline)}, true});
  return pairs;
}

}  // namespace

std::vector<EvaluatedText> open_texts(const EvalFlags& flags, const EvalModels& models) {
  std::vector<EvaluatedText> texts;
  if (flags.text.empty() && flags.tokens.empty()) return texts;
  require_same_vocabulary(models);
  const ModelConfig& config = models.all().front().info.config;
  const WindowOptions windows = window_options(flags, config);
  for (TokenStream& stream : read_streams(flags, config)) {
    texts.push_back({.stream = std::move(stream), .windows = windows, .scores = {}});
    texts.back().scores.resize(models.all().size());
  }
  return texts;
}

void score_texts(EvalModels& models, bool keep_nll, EvalState& state,
                 std::vector<EvaluatedText>& texts, const Globals& globals) {
  size_t place = 0;  // in the state
  if (texts.empty()) return;
  for (const Together& together : pairs_of(models)) {
    std::vector<std::shared_ptr<const Decoder>> held;
    std::vector<const Decoder*> decoders;
    for (const size_t m : together.models) {
      held.push_back(models.decoder(m));
      decoders.push_back(held.back().get());
    }
    const EvaluatedModel& model = models.all()[together.models.back()].info;
    const std::string of = models.all().size() > 2 ? printable(model.path) + " on " : "";
    for (EvaluatedText& text : texts) {
      ProgressLine progress(fmt::format("eval {}{}: ", of, text.stream.name), globals.quiet);
      const size_t here = place++;
      PartialScores before = state.find(here);
      if (before.windows > 0) {
        spdlog::info("eval {}{}: goes on behind window {}", of, text.stream.name, before.windows);
      }
      const int64_t first = before.windows;
      const Stopwatch watch;
      std::vector<TextScore> scores = score_text(
          decoders, together.with_baseline ? 0 : -1, text.stream, text.windows, keep_nll,
          [&](int64_t done, int64_t total) {
            const double share =
                static_cast<double>(done - first) / static_cast<double>(total - first);
            progress.share(share, watch.seconds(), fmt::format("{} of {} windows", done, total));
          },
          std::move(before), [&](const PartialScores& now) { state.update(here, now); });
      for (size_t i = 0; i < together.models.size(); ++i) {
        text.scores[together.models[i]] = std::move(scores[i]);
      }
    }
  }
}

}  // namespace regroup
