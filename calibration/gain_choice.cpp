#include "gain_choice.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "attention_fold.h"
#include "layer_method.h"
#include "regroup/base/error.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/strict_json.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/model/text_loss.h"
#include "regroup/model/transfer.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr const char* kGainsName = "/gains.json";

/// body(first window, number of windows) for a few windows at a time.
template <typename Body>
void for_windows(const Tensor& ids, const Body& body) {
  const int64_t at_once = std::max<int64_t>(1, kCalibrationTokensAtOnce / ids.size(1));
  for (int64_t at = 0; at < ids.size(0); at += at_once) {
    body(at, std::min(at_once, ids.size(0) - at));
  }
}

}  // namespace

std::vector<Gains> gain_candidates(const ConvertOptions& request) {
  if (request.method != Method::kPca)
    return {{.logit = true, .output = true}};  // none to take away
  const CalibrationOptions& calibration = request.calibration;
  const bool text = !calibration.files.empty();
  std::vector<Gains> candidates = {{.logit = request.logit_gain != Gain::kOff,
                                    .output = request.output_gain == Gain::kOn ||
                                              (request.output_gain == Gain::kAuto && !text)}};
  if (!text || calibration.refits()) return candidates;
  const auto also_other = [&](Gain gain, bool Gains::*which) {
    if (gain != Gain::kAuto) return;
    for (size_t i = 0, n = candidates.size(); i < n; ++i) {
      Gains other = candidates[i];
      other.*which = !(other.*which);
      candidates.push_back(other);
    }
  };
  also_other(request.logit_gain, &Gains::logit);
  also_other(request.output_gain, &Gains::output);
  return candidates;
}

LayerTransform with_gains(LayerTransform transform, const Gains& gains) {
  const auto take_away = [](std::vector<double>& factors) {
    std::fill(factors.begin(), factors.end(), 1.0);
  };
  if (!gains.logit) take_away(transform.logit_gain);
  if (!gains.output) take_away(transform.output_gain);
  return transform;
}

std::optional<Gains> load_gains(const std::string& folder) {
  const std::string path = folder + kGainsName;
  if (!path_exists(path)) return std::nullopt;
  try {
    const Json json = read_strict_json(path, kManifestJson);
    return Gains{.logit = json.at("logit").get<bool>(), .output = json.at("output").get<bool>()};
  } catch (const CheckpointError&) {  // damaged: tried again
  } catch (const Json::exception&) {
  }
  return std::nullopt;
}

void save_gains(const std::string& folder, const Gains& gains) {
  const Json json = {{"logit", gains.logit}, {"output", gains.output}};
  write_file_atomically(folder + kGainsName, json.dump() + "\n");
}

std::optional<size_t> smallest_finite(const std::vector<double>& numbers) {
  std::optional<size_t> best;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (std::isfinite(numbers[i]) && (!best || numbers[i] < numbers[*best])) best = i;
  }
  return best;
}

GainTrial::GainTrial(const ModelFolder& model, int64_t n_kv_heads, std::vector<Gains> candidates,
                     const Tensor& ids, const std::string& scratch, at::Device device)
    : model_(model),
      after_(model.config()),
      candidates_(std::move(candidates)),
      ids_(ids),
      device_(device),
      rope_(make_rope_tables(after_, ids.size(1), ids.size(1), device)) {
  after_.n_kv_heads = n_kv_heads;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    streams_.emplace_back(ids.size(0), ids.size(1), after_.hidden_size, scratch, device_);
  }
}

void GainTrial::start(const ActivationStore& embedded, int64_t first_window) {
  for_windows(ids_, [&](int64_t first, int64_t count) {
    const Tensor x = embedded.read(first_window + first, count);
    for (ActivationStore& stream : streams_) stream.write(first, x);
  });
}

void GainTrial::add_layer(int64_t layer, const LayerWeights& weights, const AttentionWeights& wide,
                          const LayerTransform& transform) {
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const LayerWeights own =
        with_attention(weights,
                       fold_attention(wide, with_gains(transform, candidates_[i]), model_.config(),
                                      after_.n_kv_heads),
                       after_);
    for_windows(ids_, [&](int64_t first, int64_t count) {
      const Tensor x = streams_[i].read(first, count);
      streams_[i].write(first, through_layer(after_, own, layer, x, rope_));
    });
  }
}

double GainTrial::loss(const ActivationStore& stream, const OutputHead& head) const {
  double sum = 0;
  for_windows(ids_, [&](int64_t first, int64_t count) {
    const Tensor x = head.hidden(stream.read(first, count));
    const Tensor ids = to_device(ids_.narrow(0, first, count), device_);
    const int64_t predicted = ids.size(1) - 1;  // within the window, from the second token on
    sum += sum_nll(head.lm_head, x.narrow(1, 0, predicted).flatten(0, 1),
                   ids.narrow(1, 1, predicted).flatten());
  });
  return sum;
}

Gains GainTrial::best() const {
  const OutputHead head = load_output_head(model_, device_);
  std::vector<double> losses;
  for (const ActivationStore& stream : streams_) {
    throw_if_stopped(/*resumable=*/true);
    losses.push_back(loss(stream, head));
  }
  if (const auto best = smallest_finite(losses)) return candidates_[*best];
  throw CheckpointError({.code = "CALIBRATION_NONFINITE",
                         .message =
                             "the converted model's loss on held-out windows must be finite, "
                             "found NaN or infinity with every choice of gains",
                         .path = model_.path(),
                         .hint = "check the model with `regroup eval` on the same text, or give "
                                 "`logit-gain` off `output-gain` off"});
}

}  // namespace regroup
