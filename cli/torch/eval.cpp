#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <span>

#include "eval_flags.h"
#include "notices.h"
#include "progress.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/eval/eval_state.h"
#include "regroup/eval/results.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "regroup/model/simd.h"
#include "regroup/version.h"
#include "table.h"
#include "text_files.h"
#include "torch_part.h"

namespace regroup {
namespace {

/// A folder, opened once even if it is named twice.
struct Loaded {
  EvaluatedModel info;
  std::shared_ptr<Decoder> decoder;
};

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

Loaded load(const std::string& path, const EvalFlags& flags, at::Device device) {
  const ModelFolder folder = ModelFolder::open(path);
  log_notices(folder);
  const Dtype stored = folder.dtype(folder.tensors().front().name);
  const at::ScalarType dtype = parse_compute_dtype(flags.dtype, device, stored);
  const ModelOrigin origin = origin_of(path);
  Loaded loaded;
  loaded.info = {.path = path,
                 .role = origin.role,
                 .started_from = origin.started_from,
                 .config = folder.config(),
                 .dtype = compute_dtype_name(dtype),
                 .digest = model_digest(folder),
                 .stored_kv_bits = dtype_bits(stored)};
  loaded.decoder = std::make_shared<Decoder>(load_decoder(folder, dtype, device));
  return loaded;
}

void require_same_vocabulary(const std::vector<Loaded>& models) {
  const EvaluatedModel& first = models.front().info;
  for (const Loaded& model : models) {
    if (model.info.config.vocab_size == first.config.vocab_size) continue;
    throw ConfigError(
        {.code = "VOCABULARY",
         .message = fmt::format("all models must share one vocabulary, found {} and {} "
                                "({})",
                                first.config.vocab_size, model.info.config.vocab_size,
                                printable(model.info.path)),
         .path = first.path});
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

/// Everything that decides the numbers, to the last bit.
Json state_key(const std::vector<EvaluatedModel>& models, int64_t baseline,
               const std::vector<EvaluatedText>& texts, bool keep_nll, const Globals& globals) {
  Json key = {{"version", kVersion},   {"libtorch", libtorch_version()}, {"baseline", baseline},
              {"keep_nll", keep_nll},  {"device", globals.device},       {"threads", get_threads()},
              {"simd", simd_target()}, {"models", Json::array()},        {"texts", Json::array()}};
  for (const EvaluatedModel& model : models) {
    key["models"].push_back({{"digest", model.digest}, {"dtype", model.dtype}});
  }
  for (const EvaluatedText& text : texts) {
    const auto ids = std::as_bytes(std::span(text.stream.ids));
    Xxh3 hash;
    hash.update(ids);
    key["texts"].push_back({{"ids", hash.hex()},
                            {"seq_len", text.windows.seq_len},
                            {"batch_size", text.windows.batch_size}});
  }
  return key;
}

void score_texts(const std::vector<const Decoder*>& decoders, int64_t baseline, bool keep_nll,
                 EvalState& state, std::vector<EvaluatedText>& texts, const Globals& globals) {
  for (size_t t = 0; t < texts.size(); ++t) {
    EvaluatedText& text = texts[t];
    ProgressLine progress(fmt::format("eval {}: ", text.stream.name), globals.quiet);
    PartialScores before = state.find(t);
    if (before.windows > 0) {
      spdlog::info("eval {}: goes on behind window {}", text.stream.name, before.windows);
    }
    text.scores = score_text(
        decoders, baseline, text.stream, text.windows, keep_nll,
        [&](int64_t done, int64_t total) {
          progress.text(fmt::format("{} of {} windows", done, total), done == total);
        },
        std::move(before), [&](const PartialScores& now) { state.update(t, now); });
  }
}

WindowOptions window_options(const EvalFlags& flags, const ModelConfig& config) {
  WindowOptions options;
  options.seq_len = eval_seq_len(flags.seq_len, config);
  if (flags.batch_size != "auto")
    options.batch_size = parse_count(flags.batch_size, "--batch-size");
  return options;
}

std::string cell(const Json& result, const std::string& metric, const char* format) {
  const auto value = result.find(metric + ",none");
  if (value == result.end() || !value->is_number()) return "-";
  const Json& error = result.at(metric + "_stderr,none");
  return format_estimate(value->get<double>(),
                         error.is_number() ? std::optional(error.get<double>()) : std::nullopt,
                         format);
}

std::string results_table(const Json& results) {
  std::vector<std::vector<std::string>> rows = {
      {"text", "model", "KV heads", "loss", "perplexity", "bits/byte", "KL", "top-1", "recovery"}};
  const Json models = results.contains("models") ? results["models"] : Json::array({results});
  for (const Json& model : models) {
    for (const auto& [name, result] : model.at("results").items()) {
      rows.push_back({name, model.at("model_name").get<std::string>(),
                      std::to_string(model.at("regroup").at("n_kv_heads").get<int64_t>()),
                      cell(result, "loss", "{:.4f}"), cell(result, "perplexity", "{:.3f}"),
                      cell(result, "bits_per_byte", "{:.4f}"), cell(result, "kl", "{:.4f}"),
                      cell(result, "top1_agreement", "{:.4f}"),
                      cell(result, "recovery", "{:.4f}")});
    }
  }
  return format_table(rows);
}

std::string place_lines(const Json& results) {
  const Json models = results.contains("models") ? results["models"] : Json::array({results});
  std::string text;
  for (const Json& model : models) {
    const Json& about = model.at("regroup");
    if (!about.contains("damage")) continue;
    for (const auto& [name, damage] : about["damage"].items()) {
      text +=
          damage_lines(fmt::format("{}, {}", printable(model.at("model_name").get<std::string>()),
                                   printable(name)),
                       read_damage_profile(damage, ""));
    }
  }
  return text;
}

/// Not part of check_eval(): `run` makes the folders of its results after it has checked every stage.
void check_outputs(const EvalFlags& flags) {
  std::vector<std::string> inputs = {flags.baseline};
  for (const auto* given : {&flags.models, &flags.text, &flags.tokens}) {
    inputs.insert(inputs.end(), given->begin(), given->end());
  }
  if (!flags.out.empty()) {
    check_output_file(flags.out, "--out", inputs);
    check_output_file(flags.out + ".partial", "the state beside --out", inputs);
  }
  if (!flags.token_nll.empty()) check_output_file(flags.token_nll, "--token-nll", inputs);
  if (flags.out.empty() || flags.token_nll.empty() || !is_inside(flags.out, flags.token_nll)) {
    return;
  }
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = "--out and --token-nll must name two files, found one",
                     .path = flags.out,
                     .hint = "choose another name for one of them"});
}

CommandOutput evaluate(const EvalFlags& flags, const Globals& globals) {
  check_eval(flags, globals);
  check_outputs(flags);
  warn_if_separator_missing(flags.documents, flags.text);
  const at::Device device = open_device(globals.device);
  std::vector<Loaded> models;
  for (const std::string& path : flags.models) {
    throw_if_stopped(/*resumable=*/false);
    models.push_back(load(path, flags, device));
  }
  std::vector<bool> listed(models.size(), true);
  int64_t baseline = -1;
  for (size_t m = 0; m < models.size() && !flags.baseline.empty(); ++m) {
    if (same_folder(models[m].info.path, flags.baseline)) baseline = static_cast<int64_t>(m);
  }
  if (baseline < 0 && !flags.baseline.empty()) {
    models.push_back(load(flags.baseline, flags, device));
    listed.push_back(false);
    baseline = static_cast<int64_t>(models.size()) - 1;
  }
  if (baseline >= 0) models[static_cast<size_t>(baseline)].info.role = "baseline";
  require_same_vocabulary(models);

  const WindowOptions windows = window_options(flags, models.front().info.config);
  std::vector<const Decoder*> decoders;
  std::vector<EvaluatedModel> infos;
  for (const Loaded& model : models) {
    decoders.push_back(model.decoder.get());
    infos.push_back(model.info);
  }
  std::vector<EvaluatedText> texts;
  for (TokenStream& stream : read_streams(flags, models.front().info.config)) {
    texts.push_back({.stream = std::move(stream), .windows = windows, .scores = {}});
  }
  const bool keep_nll = !flags.token_nll.empty();
  EvalState state(flags.out.empty() ? "" : flags.out + ".partial",
                  state_key(infos, baseline, texts, keep_nll, globals));
  score_texts(decoders, baseline, keep_nll, state, texts, globals);
  CommandOutput output;
  output.json = make_results(infos, listed, baseline, texts);
  output.text = results_table(output.json) + place_lines(output.json);
  if (!flags.token_nll.empty()) write_token_nll(flags.token_nll, texts[0], texts[0].scores[0]);
  if (!flags.out.empty()) {
    write_file_atomically(flags.out,
                          output.json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  state.finish();
  return output;
}

}  // namespace

CommandOutput run_eval(const EvalFlags& flags, const Globals& globals) {
  try {
    return evaluate(flags, globals);
  } catch (const Error& error) {
    // Stopped while it loaded models and texts: the scores of an earlier run are as they were.
    const bool resumable = !flags.out.empty() && holds_eval_state(flags.out + ".partial");
    if (resumable && error.info().code == "INTERRUPTED") throw_if_stopped(resumable);
    throw;
  }
}

}  // namespace regroup
