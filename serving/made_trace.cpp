#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "regroup/base/normal_stream.h"
#include "regroup/base/uniform_stream.h"
#include "regroup/serving/trace.h"

namespace regroup {
namespace {

/// Gamma numbers of mean 1 (Marsaglia and Tsang, ACM TOMS 26, 2000).
class GammaStream {
 public:
  GammaStream(double shape, uint64_t seed)
      : shape_(shape), normal_(seed, "gaps"), uniform_(seed, "gaps, accepted") {}

  double next() {
    const double d = (shape_ < 1 ? shape_ + 1 : shape_) - 1.0 / 3;
    const double c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal_.next();
      const double v = std::pow(1 + c * x, 3);
      if (v <= 0) continue;
      if (std::log(uniform_.next()) >= x * x / 2 + d * (1 - v + std::log(v))) continue;
      const double boost = shape_ < 1 ? std::pow(uniform_.next(), 1 / shape_) : 1;
      return d * v * boost / shape_;
    }
  }

 private:
  double shape_;
  NormalStream normal_;
  UniformStream uniform_;
};

/// A lognormal length of mean `mean`, at least 1.
int64_t length(double mean, double spread, NormalStream& normal) {
  const double mu = std::log(mean) - spread * spread / 2;
  const double value = std::exp(mu + spread * normal.next());
  return static_cast<int64_t>(std::clamp(std::round(value), 1.0, 1e9));
}

}  // namespace

Trace make_trace(const MadeTrace& settings) {
  GammaStream gaps(settings.burstiness, settings.seed);
  NormalStream prompts(settings.seed, "prompts");
  NormalStream outputs(settings.seed, "outputs");
  Trace trace;
  trace.requests.reserve(static_cast<size_t>(settings.requests));
  double time = 0;
  for (int64_t i = 0; i < settings.requests; ++i) {
    int64_t prompt = length(settings.prompt_mean, settings.spread, prompts);
    int64_t output = length(settings.output_mean, settings.spread, outputs);
    if (settings.max_tokens > 0 && prompt + output > settings.max_tokens) {
      ++trace.shortened;
      prompt = std::min(prompt, settings.max_tokens - 1);
      output = std::min(output, settings.max_tokens - prompt);
    }
    trace.requests.push_back({.arrival_s = time,
                              .prompt_tokens = static_cast<int32_t>(prompt),
                              .output_tokens = static_cast<int32_t>(output)});
    time += gaps.next() / settings.rate;
  }
  return trace;
}

std::string trace_csv(const Trace& trace) {
  constexpr size_t kRowBytes =
      28;  // most are shorter: a text that doubles needs three times its memory
  std::string text = "time_s,prompt_tokens,output_tokens\n";
  text.reserve(text.size() + kRowBytes * trace.requests.size());
  for (const TraceRequest& request : trace.requests) {
    fmt::format_to(std::back_inserter(text), "{:.6f},{},{}\n", request.arrival_s,
                   request.prompt_tokens, request.output_tokens);
  }
  return text;
}

}  // namespace regroup
