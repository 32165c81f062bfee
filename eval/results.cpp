#include "regroup/eval/results.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "regroup/base/manifest_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/model/runtime.h"
#include "regroup/results/metric.h"
#include "regroup/version.h"
#include "task_comparison.h"

namespace regroup {
namespace {

void put(TextResult& result, const char* name, const Estimate& estimate) {
  result.metrics.push_back(text_metric(name, estimate.value, estimate.stderr_));
}

/// exp(factor * loss), and its error to first order.
Estimate exponential(const Estimate& loss, double factor) {
  const double value = std::exp(loss.value * factor);
  return {value, value * loss.stderr_ * factor};
}

void put_loss(TextResult& result, const TokenStream& stream, const TextScore& score) {
  const Estimate loss = loss_estimate(score);
  result.tokens = static_cast<int64_t>(stream.ids.size()) - 1;
  const auto tokens = static_cast<double>(result.tokens);
  put(result, metric::kLoss, loss);
  put(result, metric::kPerplexity, exponential(loss, 1.0));
  if (stream.bytes && *stream.bytes > 0) {
    const double per_byte = tokens / static_cast<double>(*stream.bytes);
    put(result, metric::kBytePerplexity, exponential(loss, per_byte));
    put(result, metric::kBitsPerByte,
        {loss.value * per_byte / std::numbers::ln2, loss.stderr_ * per_byte / std::numbers::ln2});
  }
  if (stream.words && *stream.words > 0) {
    put(result, metric::kWordPerplexity,
        exponential(loss, tokens / static_cast<double>(*stream.words)));
  }
  result.bytes = stream.bytes;
  result.words = stream.words;
}

void put_fidelity(TextResult& result, const Fidelity& found) {
  put(result, metric::kKl, found.kl);
  put(result, metric::kAgreement, found.agreement);
  put(result, metric::kLossDelta, found.loss_delta);
  put(result, metric::kDeltaP, found.delta_p);
  put(result, metric::kRmsDeltaP, found.rms_delta_p);
  put(result, metric::kNllCorrelation, found.nll_correlation);
}

void put_quantiles_of_kl(TextResult& result, const FidelityCurve& curve) {
  for (const auto& [name, share] :
       {std::pair{metric::kKlMedian, 0.5}, std::pair{metric::kKl90, 0.9},
        std::pair{metric::kKl99, 0.99}, std::pair{metric::kKl999, 0.999},
        std::pair{metric::kKlMax, 1.0}}) {
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

TextResult text_result(const std::vector<EvaluatedModel>& models, size_t m, int64_t baseline,
                       const EvaluatedText& text) {
  TextResult result{
      .name = text.stream.name,
      .metrics = {},
      .windows = static_cast<int64_t>(text.scores[m].windows.size()),
      .seq_len = text.windows.seq_len,
      .batch_tokens = windows_at_once(text.windows) * text.windows.seq_len,
  };
  put_loss(result, text.stream, text.scores[m]);
  if (baseline < 0) return result;
  const TextScore& reference = text.scores[static_cast<size_t>(baseline)];
  put_fidelity(result, fidelity(text.scores[m], reference));
  const FidelityCurve curve = fidelity_curve(text.scores[m]);
  put_quantiles_of_kl(result, curve);
  const int64_t converted = find_converted(models, m);
  if (converted >= 0) {
    put(result, metric::kRecovery,
        recovery_estimate(reference, text.scores[static_cast<size_t>(converted)], text.scores[m]));
  }
  if (static_cast<int64_t>(m) == baseline) return result;
  result.profile = damage_profile(text.scores[m], reference, text.windows.seq_len);
  result.fidelity = curve;
  return result;
}

ModelResult model_result(const std::vector<EvaluatedModel>& models, size_t m, int64_t baseline,
                         const std::vector<EvaluatedText>& texts, int64_t batch_size) {
  const EvaluatedModel& model = models[m];
  ModelResult result{.name = model.path,
                     .role = model.role,
                     .architecture = model.config.architecture,
                     .dtype = model.dtype,
                     .digest = model.digest,
                     .started_from = model.started_from,
                     .baseline = baseline < 0 ? "" : models[static_cast<size_t>(baseline)].path,
                     .version = kVersion,
                     .libtorch = libtorch_version(),
                     .n_layers = model.config.n_layers,
                     .n_heads = model.config.n_heads,
                     .n_kv_heads = model.config.n_kv_heads,
                     .n_params = count_parameters(model.config),
                     .kv_bytes_per_token = kv_bytes_per_token(model.config, model.config.n_kv_heads,
                                                              model.stored_kv_bits),
                     .batch_size = batch_size};
  for (const EvaluatedText& text : texts) {
    result.texts.push_back(text_result(models, m, baseline, text));
  }
  return result;
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

Evaluation make_results(const std::vector<EvaluatedModel>& models, const std::vector<bool>& listed,
                        int64_t baseline, const std::vector<EvaluatedText>& texts,
                        const EvaluatedQuestions& questions) {
  Evaluation evaluation;
  for (size_t m = 0; m < models.size(); ++m) {
    if (!listed[m]) continue;
    const auto& [tasks, options, probes, probe_options, probe_text, asked_at_once] = questions;
    const int64_t batch_size = texts.empty() ? asked_at_once : texts.front().windows.batch_size;
    ModelResult result = model_result(models, m, baseline, texts, batch_size);
    add_task_results(result, m, tasks, options);
    add_probe_results(result, m, baseline, probes, probe_options, probe_text);
    if (baseline >= 0 && static_cast<int64_t>(m) != baseline && !tasks.empty()) {
      result.paired = compare_tasks(tasks,
                                    {.model = m,
                                     .baseline = static_cast<size_t>(baseline),
                                     .converted = find_converted(models, m)},
                                    options);
    }
    evaluation.models.push_back(std::move(result));
  }
  return evaluation;
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
