#include "network_fit.h"

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "calibrated_layer.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/strict_json.h"
#include "regroup/calibration/converted_decoder.h"
#include "regroup/model/load.h"
#include "regroup/model/transfer.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr const char* kFolder = "/end-to-end";
constexpr const char* kOutcome = "/OUTCOME.json";
/// Steps that lead to so many times the smallest KL are too large.
constexpr double kAstray = 1.5;

Json to_json(const FirstTokenQuality& q) {
  return {{"tokens", q.tokens},
          {"kl", q.kl},
          {"worst_kl", q.worst_kl},
          {"above_2_nats", q.above_2_nats}};
}

std::optional<FirstTokenQuality> first_tokens_from(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return FirstTokenQuality{.tokens = json.at("tokens").get<int64_t>(),
                           .kl = json.at("kl").get<double>(),
                           .worst_kl = json.at("worst_kl").get<double>(),
                           .above_2_nats = json.at("above_2_nats").get<int64_t>()};
}

Json to_json(const HeldOutQuality& q) {
  return {{"parent_loss", q.parent_loss},
          {"loss", q.loss},
          {"kl", q.kl},
          {"same_top1", q.same_top1},
          {"rises", q.rises},
          {"first_tokens", q.first_tokens ? to_json(*q.first_tokens) : Json()}};
}

HeldOutQuality from_json(const Json& json) {
  return {.parent_loss = json.at("parent_loss").get<double>(),
          .loss = json.at("loss").get<double>(),
          .kl = json.at("kl").get<double>(),
          .same_top1 = json.at("same_top1").get<double>(),
          .rises = json.at("rises").get<std::vector<double>>(),
          .first_tokens = first_tokens_from(json.at("first_tokens"))};
}

/// Stopped meanwhile, the run can be resumed: all layers are kept.
template <typename Body>
Decoder resumably(const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    if (error.info().code == "INTERRUPTED") throw_if_stopped(/*resumable=*/true);
    throw;
  }
}

bool is_finite(const std::vector<std::vector<Tensor>>& layers) {
  std::vector<Tensor> sums;
  for (const std::vector<Tensor>& layer : layers) {
    for (const Tensor& t : layer) sums.push_back(t.sum(at::kDouble));
  }
  for (const double sum : read_scalars(sums)) {
    if (!std::isfinite(sum)) return false;
  }
  return true;
}

}  // namespace

NetworkFit::NetworkFit(const ModelFolder& model, const std::vector<WindowSet>& sets,
                       const Tensor& fresh, const ConvertOptions& request,
                       const CalibrationCost& cost, CalibrationMeter& meter, at::Device device)
    : model_(model),
      sets_(sets),
      fresh_(fresh),
      request_(request),
      cost_(cost),
      meter_(meter),
      device_(device),
      after_(model.config()),
      head_(load_output_head(model, device)) {
  after_.n_kv_heads = request.n_kv_heads;
}

void NetworkFit::finish(Calibrated& result) {
  result.flops += cost_.quality() + cost_.distillation();
  const std::string folder = result.weights_folder + kFolder;
  Outcome outcome;
  if (const auto before = outcome_of_before(folder)) {
    outcome = *before;
    meter_.spare(cost_.quality() + cost_.distillation(), 0);
  } else {
    outcome = distill(folder, result);
  }
  result.quality = outcome.before;
  if (!outcome.gained) return;
  result.before_distillation = outcome.before;
  result.quality = outcome.after;
  result.weights_folder = folder;
}

Decoder NetworkFit::parent() const {
  return resumably([&] { return load_decoder(model_, at::kFloat, device_); });
}

Decoder NetworkFit::converted(Decoder& parent, const Calibrated& result) const {
  return resumably([&] { return converted_decoder(model_, parent, request_, result); });
}

/// What layers were fitted on they know by heart: it comes in where there is no other text.
Tensor NetworkFit::windows_to_train_on() const {
  const int64_t needed =
      request_.calibration.distill_steps.value_or(0) * distill_windows(text().sizes);
  if (fresh_.size(0) >= needed) return fresh_;
  const int64_t fitted = std::min(text().sizes.train_windows(), needed - fresh_.size(0));
  return at::cat({fresh_, text().ids.narrow(0, 0, fitted)});
}

HeldOutQuality NetworkFit::quality(const SetSource& converted) {
  HeldOutQuality quality;
  for (const WindowSet& set : sets_) {
    const int64_t begin = set.sizes.train_windows();
    const HiddenSource before = [&, begin](int64_t first, int64_t count) {
      return head_.hidden(set.parent.read(begin + first, count));
    };
    const HiddenSource after = [&, begin](int64_t first, int64_t count) {
      return converted(set, begin + first, count);
    };
    if (set.sizes.text) {
      quality = measure_quality(head_, set.ids.narrow(0, begin, set.sizes.held_out), before, after);
    } else {
      quality.first_tokens = measure_first_tokens(head_, set.sizes.held_out, before, after);
    }
  }
  return quality;
}

HeldOutQuality NetworkFit::quality(const Decoder& decoder) {
  return quality([&](const WindowSet& set, int64_t first, int64_t count) {
    return decoder.hidden(to_device(set.ids.narrow(0, first, count), device_));
  });
}

/// The converted residual stream is at hand where layers were fitted on it.
HeldOutQuality NetworkFit::quality_of_layers(const Calibrated& result) {
  if (!request_.calibration.sequential) {
    Decoder whole = parent();
    return quality(converted(whole, result));
  }
  return quality([&](const WindowSet& set, int64_t first, int64_t count) {
    return head_.hidden(set.converted.read(first, count));
  });
}

NetworkFit::Outcome NetworkFit::distill(const std::string& folder, const Calibrated& result) {
  meter_.enter(after_.n_layers, "held-out text");
  Outcome outcome{.before = quality_of_layers(result), .after = {}};
  meter_.ran(cost_.quality());
  if (!std::isfinite(outcome.before.parent_loss)) {
    throw CheckpointError(
        {.code = "CALIBRATION_NONFINITE",
         .message = "the model's own loss on held-out windows must be finite, found NaN or "
                    "infinity",
         .path = model_.path(),
         .hint = "check the model with `regroup eval` on the same text"});
  }
  if (!request_.calibration.distills()) return outcome;
  meter_.enter(after_.n_layers, "all layers together");
  make_folder(folder);
  const double before = std::isfinite(outcome.before.kl) ? outcome.before.kl
                                                         : std::numeric_limits<double>::infinity();
  outcome.after = train(folder, result, before);
  outcome.gained = outcome.after.kl < before;
  const Json json = {{"before", to_json(outcome.before)},
                     {"after", to_json(outcome.after)},
                     {"gained", outcome.gained}};
  write_file_atomically(folder + kOutcome, json.dump() + "\n");
  return outcome;
}

/// @return what the weights in `folder` come to; the largest KL there is where nothing was gained
HeldOutQuality NetworkFit::train(const std::string& folder, const Calibrated& result,
                                 double before) {
  HeldOutQuality none;
  none.kl = std::numeric_limits<double>::max();
  Decoder whole = parent();
  Decoder decoder = converted(whole, result);
  const int64_t steps = *request_.calibration.distill_steps;
  EndToEnd training(decoder, whole, windows_to_train_on(),
                    {.steps = steps,
                     .step_windows = distill_windows(text().sizes),
                     .learning_rate = request_.calibration.distill_lr.value(),
                     .seed = request_.seed,
                     .stepped = [&](int64_t) { meter_.ran(cost_.distill_step()); }});
  auto best = training.weights();
  double smallest = before;
  const int64_t looks = distill_looks(steps);
  for (int64_t look = 1; look <= looks; ++look) {
    training.run_until(steps * look / looks);
    auto weights = training.weights();
    const bool finite = is_finite(weights);
    meter_.ran(cost_.look_at_network());
    if (look == looks && finite && save(folder, decoder, result)) {
      const HeldOutQuality last = quality(decoder);  // rounded
      tell(before, last.kl);
      if (last.kl < smallest) return last;
      break;
    }
    const double now = finite ? quality(decoder).kl : std::numeric_limits<double>::infinity();
    tell(before, now);
    if (now < smallest) {
      smallest = now;
      best = std::move(weights);
    } else if (!(now <= kAstray * smallest)) {
      training.restore(best);
    }
  }
  if (smallest == before) return none;
  training.restore(best);
  return save(folder, decoder, result) ? quality(decoder) : none;
}

void NetworkFit::tell(double before, double now) {
  stage_ = fmt::format("all layers together: KL {:.4f} -> {:.4f}", before, now);
  meter_.enter(after_.n_layers, stage_.c_str());
}

/// What is on disk is what is measured: rounded, as the finished model will be.
/// @return false where the weights do not fit the output's dtype
bool NetworkFit::save(const std::string& folder, Decoder& decoder, const Calibrated& result) const {
  const c10::NoGradGuard no_gradients;
  try {
    for (int64_t layer = 0; layer < after_.n_layers; ++layer) {
      LayerReport report = result.layers[static_cast<size_t>(layer)];
      const std::string path = calibrated_layer_path(folder, layer);
      LayerWeights& own = decoder.layer(layer);
      save_calibrated_layer(path, model_, request_.dtype, after_, layer, own, report);
      load_calibrated_layer(path, after_, layer, own, report);
    }
    return true;
  } catch (const CheckpointError& error) {
    if (error.info().code != "VAL_OVERFLOW") throw;
    return false;
  }
}

/// Of a run that this one resumes. What is damaged is done again.
std::optional<NetworkFit::Outcome> NetworkFit::outcome_of_before(const std::string& folder) const {
  if (!path_exists(folder + kOutcome)) return std::nullopt;
  try {
    const Json json = read_strict_json(folder + kOutcome, kManifestJson);
    const Outcome outcome{.before = from_json(json.at("before")),
                          .after = from_json(json.at("after")),
                          .gained = json.at("gained").get<bool>()};
    if (!outcome.gained || holds_every_layer(folder)) return outcome;
  } catch (const CheckpointError&) {
  } catch (const Json::exception&) {
  }
  return std::nullopt;
}

bool NetworkFit::holds_every_layer(const std::string& folder) const {
  for (int64_t layer = 0; layer < after_.n_layers; ++layer) {
    LayerWeights own = allocate_layer(after_, layer, at::kFloat, at::kCPU);
    LayerReport report;
    if (!load_calibrated_layer(calibrated_layer_path(folder, layer), after_, layer, own, report)) {
      return false;
    }
  }
  return true;
}

}  // namespace regroup
