#include "regroup/eval/results.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "regroup/base/manifest_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/model/runtime.h"
#include "regroup/version.h"
#include "task_comparison.h"

namespace regroup {
namespace {

/// Numbers that are none are "N/A", as lm-eval writes them.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json("N/A"); }

void put(Json& result, const std::string& metric, const Estimate& estimate) {
  result[metric + ",none"] = number(estimate.value);
  result[metric + "_stderr,none"] = number(estimate.stderr_);
}

/// exp(factor * loss), and its error to first order.
Estimate exponential(const Estimate& loss, double factor) {
  const double value = std::exp(loss.value * factor);
  return {value, value * loss.stderr_ * factor};
}

void put_loss(Json& result, const TokenStream& stream, const TextScore& score) {
  const Estimate loss = loss_estimate(score);
  const auto tokens = static_cast<double>(stream.ids.size() - 1);
  put(result, "loss", loss);
  put(result, "perplexity", exponential(loss, 1.0));
  if (stream.bytes && *stream.bytes > 0) {
    const double per_byte = tokens / static_cast<double>(*stream.bytes);
    put(result, "byte_perplexity", exponential(loss, per_byte));
    put(result, "bits_per_byte",
        {loss.value * per_byte / std::numbers::ln2, loss.stderr_ * per_byte / std::numbers::ln2});
  }
  if (stream.words && *stream.words > 0) {
    put(result, "word_perplexity", exponential(loss, tokens / static_cast<double>(*stream.words)));
  }
  result["tokens"] = stream.ids.size() - 1;
  if (stream.bytes) result["bytes"] = *stream.bytes;
  if (stream.words) result["words"] = *stream.words;
}

void put_fidelity(Json& result, const Fidelity& found) {
  put(result, "kl", found.kl);
  put(result, "top1_agreement", found.agreement);
  put(result, "loss_delta", found.loss_delta);
  put(result, "delta_p", found.delta_p);
  put(result, "rms_delta_p", found.rms_delta_p);
  put(result, "nll_correlation", found.nll_correlation);
}

void put_quantiles_of_kl(Json& result, const FidelityCurve& curve) {
  for (const auto& [name, share] :
       {std::pair{"kl_p50", 0.5}, std::pair{"kl_p90", 0.9}, std::pair{"kl_p99", 0.99},
        std::pair{"kl_p999", 0.999}, std::pair{"kl_max", 1.0}}) {
    const QuantileEstimate found = curve.at(curve.kl, share);
    put(result, name, {found.value, found.error});
  }
}

/// The converted model that an uptrained one started from: the one with the digest that its manifest
/// names; where it names none, the only one with its number of KV heads. Else nobody knows: -1.
int64_t find_converted(const std::vector<EvaluatedModel>& models, size_t uptrained) {
  const EvaluatedModel& model = models[uptrained];
  if (model.role != "uptrained") return -1;
  std::vector<int64_t> alike;
  for (size_t m = 0; m < models.size(); ++m) {
    if (models[m].role != "converted") continue;
    if (models[m].digest == model.started_from) return static_cast<int64_t>(m);
    if (model.started_from.empty() && models[m].config.n_kv_heads == model.config.n_kv_heads) {
      alike.push_back(static_cast<int64_t>(m));
    }
  }
  return alike.size() == 1 ? alike[0] : -1;
}

Json text_result(const std::vector<EvaluatedModel>& models, size_t m, int64_t baseline,
                 const EvaluatedText& text) {
  Json result = {{"alias", text.stream.name}};
  put_loss(result, text.stream, text.scores[m]);
  if (baseline < 0) return result;
  const TextScore& reference = text.scores[static_cast<size_t>(baseline)];
  put_fidelity(result, fidelity(text.scores[m], reference));
  put_quantiles_of_kl(result, fidelity_curve(text.scores[m]));
  const int64_t converted = find_converted(models, m);
  if (converted >= 0) {
    put(result, "recovery",
        recovery_estimate(reference, text.scores[static_cast<size_t>(converted)], text.scores[m]));
  }
  return result;
}

Json model_results(const std::vector<EvaluatedModel>& models, size_t m, int64_t baseline,
                   const std::vector<EvaluatedText>& texts, int64_t batch_size) {
  const EvaluatedModel& model = models[m];
  Json json = {{"results", Json::object()},
               {"configs", Json::object()},
               {"versions", Json::object()},
               {"n-shot", Json::object()},
               {"n-samples", Json::object()}};
  for (const EvaluatedText& text : texts) {
    const std::string& name = text.stream.name;
    json["results"][name] = text_result(models, m, baseline, text);
    json["configs"][name] = {{"task", name},
                             {"output_type", "text_loss"},
                             {"seq_len", text.windows.seq_len},
                             {"batch_tokens", windows_at_once(text.windows) * text.windows.seq_len},
                             {"stream_tokens", text.stream.ids.size()}};
    json["versions"][name] = 1;
    json["n-shot"][name] = 0;
    const size_t windows = text.scores[m].windows.size();
    json["n-samples"][name] = {{"original", windows}, {"effective", windows}};
  }
  json["config"] = {{"model", "regroup"},
                    {"model_args", fmt::format("pretrained={}", model.path)},
                    {"model_num_parameters", count_parameters(model.config)},
                    {"model_dtype", model.dtype},
                    {"batch_size", batch_size > 0 ? Json(batch_size) : Json("auto")}};
  json["model_name"] = model.path;
  json["regroup"] = {
      {"version", kVersion},
      {"libtorch", libtorch_version()},
      {"role", model.role},
      {"architecture", model.config.architecture},
      {"n_layers", model.config.n_layers},
      {"n_heads", model.config.n_heads},
      {"n_kv_heads", model.config.n_kv_heads},
      {"n_params", count_parameters(model.config)},
      {"kv_bytes_per_token",
       kv_bytes_per_token(model.config, model.config.n_kv_heads, model.stored_kv_bits)},
      {"digest", model.digest}};
  if (!model.started_from.empty()) json["regroup"]["started_from"] = model.started_from;
  if (baseline >= 0) {
    json["regroup"]["baseline"] = models[static_cast<size_t>(baseline)].path;
    for (const EvaluatedText& text : texts) {
      if (static_cast<int64_t>(m) == baseline) break;
      const TextScore& reference = text.scores[static_cast<size_t>(baseline)];
      json["regroup"]["damage"][text.stream.name] =
          damage_profile_json(damage_profile(text.scores[m], reference, text.windows.seq_len));
      json["regroup"]["fidelity"][text.stream.name] =
          fidelity_curve_json(fidelity_curve(text.scores[m]));
    }
  }
  return json;
}

}  // namespace

ModelOrigin origin_of(const std::string& path) {
  const ModelOrigin unknown{.role = "model", .started_from = {}};
  const std::string manifest = path + "/" + kManifestName;
  if (!path_exists(manifest)) return unknown;
  const Json root = read_strict_json(manifest, kManifestJson);
  const auto method = root.is_object() ? root.find("method") : root.end();
  if (method == root.end() || !method->is_object()) return unknown;
  if (method->value("name", "") != "uptrain") return {.role = "converted", .started_from = {}};
  const Json::json_pointer source("/settings/model_sha256");
  const bool known = method->contains(source) && (*method)[source].is_string();
  return {.role = "uptrained", .started_from = known ? (*method)[source].get<std::string>() : ""};
}

Json make_results(const std::vector<EvaluatedModel>& models, const std::vector<bool>& listed,
                  int64_t baseline, const std::vector<EvaluatedText>& texts,
                  const EvaluatedQuestions& questions) {
  Json all = Json::array();
  for (size_t m = 0; m < models.size(); ++m) {
    if (!listed[m]) continue;
    const auto& [tasks, options, probes, probe_options, probe_text, asked_at_once] = questions;
    const int64_t batch_size = texts.empty() ? asked_at_once : texts.front().windows.batch_size;
    all.push_back(model_results(models, m, baseline, texts, batch_size));
    add_task_results(all.back(), m, tasks, options);
    add_probe_results(all.back(), m, baseline, probes, probe_options, probe_text);
    if (baseline < 0 || static_cast<int64_t>(m) == baseline || tasks.empty()) continue;
    all.back()["regroup"]["paired"] = compare_tasks(tasks,
                                                    {.model = m,
                                                     .baseline = static_cast<size_t>(baseline),
                                                     .converted = find_converted(models, m)},
                                                    options);
  }
  return all.size() == 1 ? all[0] : Json{{"models", all}};
}

void write_token_nll(const std::string& path, const EvaluatedText& text, const TextScore& score) {
  const int64_t seq = text.windows.seq_len;
  const auto n = static_cast<int64_t>(text.stream.ids.size());
  const int64_t windows = count_windows(n, seq);
  std::vector<int64_t> ids(static_cast<size_t>(windows * (seq + 1)), -1);
  std::vector<float> nll(static_cast<size_t>(windows * seq),
                         std::numeric_limits<float>::quiet_NaN());
  for (int64_t w = 0; w < windows; ++w) {
    for (int64_t i = 0; i <= seq && w * seq + i < n; ++i) {
      ids[static_cast<size_t>(w * (seq + 1) + i)] =
          text.stream.ids[static_cast<size_t>(w * seq + i)];
    }
  }
  std::copy(score.token_nll.begin(), score.token_nll.end(), nll.begin());
  std::string file = make_safetensors_prefix(
      {{"ids", Dtype::kI64, {windows, seq + 1}}, {"nll", Dtype::kF32, {windows, seq}}}, {});
  file.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int64_t));
  file.append(reinterpret_cast<const char*>(nll.data()), nll.size() * sizeof(float));
  write_file_atomically(path, file);
}

}  // namespace regroup
