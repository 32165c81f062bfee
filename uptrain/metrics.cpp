#include "regroup/uptrain/metrics.h"

#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"

namespace regroup {
namespace {

/// The lines of an earlier run that stay: whole ones, up to `last_step`.
std::string kept_lines(const std::string& text, int64_t last_step) {
  std::string kept;
  for (size_t start = 0; start < text.size();) {
    const size_t stop = text.find('\n', start);
    if (stop == std::string::npos) break;  // torn
    const std::string line = text.substr(start, stop - start);
    start = stop + 1;
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || object.value("step", INT64_MAX) > last_step) continue;
    kept += line + "\n";
  }
  return kept;
}

std::optional<double> optional_number(const Json& json, const char* key) {
  return json.contains(key) && json.at(key).is_number() ? std::optional(json.at(key).get<double>())
                                                        : std::nullopt;
}

}  // namespace

Json to_json(const StepMetrics& m) {
  Json json = {{"step", m.step},           {"tokens", m.tokens},
               {"loss", m.loss},           {"lr", m.learning_rate},
               {"grad_norm", m.grad_norm}, {"tokens_per_s", m.tokens_per_s},
               {"step_s", m.step_s}};
  if (m.ce) json["ce"] = *m.ce;
  if (m.kl) json["kl"] = *m.kl;
  if (m.val_loss) json["val_loss"] = *m.val_loss;
  return json;
}

StepMetrics step_metrics_of(const Json& json) {
  // JSON has no number for a loss that is not finite.
  const auto number = [&](const char* key) {
    return json.at(key).is_null() ? std::numeric_limits<double>::quiet_NaN()
                                  : json.at(key).get<double>();
  };
  return {.step = json.at("step").get<int64_t>(),
          .tokens = json.at("tokens").get<int64_t>(),
          .loss = number("loss"),
          .ce = optional_number(json, "ce"),
          .kl = optional_number(json, "kl"),
          .learning_rate = number("lr"),
          .grad_norm = number("grad_norm"),
          .tokens_per_s = number("tokens_per_s"),
          .step_s = number("step_s"),
          .val_loss = optional_number(json, "val_loss")};
}

MetricsFile::MetricsFile(const std::string& path, int64_t last_step) : path_(path) {
  if (path_exists(path)) {
    write_file_atomically(path, kept_lines(InputFile(path).read_all(), last_step));
  }
  file_ = std::fopen(path.c_str(), "ae");
  if (file_ == nullptr) throw_output_error(errno, "open", path);
}

MetricsFile::~MetricsFile() { std::fclose(file_); }

void MetricsFile::step(const StepMetrics& metrics) { line(to_json(metrics)); }

void MetricsFile::event(const std::string& name, int64_t step, const Json& facts) {
  Json object = {{"event", name}, {"step", step}};
  object.update(facts);
  line(object);
}

void MetricsFile::line(const Json& object) {
  const std::string text = object.dump() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_) == text.size();
  if (!written || std::fflush(file_) != 0) throw_output_error(errno, "write", path_);
}

}  // namespace regroup
