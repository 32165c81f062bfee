#include "calibration_progress.h"

#include <fmt/format.h>

#include "regroup/base/human_number.h"

namespace regroup {
namespace {

std::string describe(const CalibrationForecast& f) {
  std::string text = fmt::format("{} tokens in {} windows of {} ({} held out)",
                                 human_count(static_cast<double>(f.windows * f.seq_len)), f.windows,
                                 f.seq_len, f.held_out);
  if (f.first_tokens > 0) {
    text += fmt::format(", {} first tokens", human_count(static_cast<double>(f.first_tokens)));
  }
  if (f.steps > 0) {
    text += fmt::format(", {} layers of at most {} steps of {} tokens", f.n_layers, f.steps,
                        f.step_tokens);
  }
  if (f.distill_steps > 0) text += fmt::format(", then {} of all layers together", f.distill_steps);
  return text + fmt::format("; {:.3g} FLOPs, about {} at the speed measured here", f.flops,
                            human_seconds(f.seconds));
}

}  // namespace

CalibrationProgress calibration_progress(ProgressLine& line, const std::string& doing) {
  const std::string prefix = doing.empty() ? "" : doing + ": ";
  line.text(fmt::format(": {}reading the text, measuring the speed of this machine", prefix));
  const auto writes = [&line, prefix, watch = Stopwatch()](int64_t tokens, int64_t all) {
    const std::string what =
        fmt::format("{}the model writes its own text, {} of {} tokens", prefix, tokens, all);
    line.share(static_cast<double>(tokens) / static_cast<double>(all), watch.seconds(), what);
  };
  return {.starts =
              [&line, prefix](const CalibrationForecast& f) {
                line.text(fmt::format(": {}calibrate on {}", prefix, describe(f)), /*last=*/true);
              },
          .moved =
              [&line, prefix](const CalibrationStatus& s) {
                const std::string layer =
                    s.layer < s.n_layers ? fmt::format("layer {} of {}, ", s.layer + 1, s.n_layers)
                                         : std::string();
                line.work(s.done_s, s.all_s, prefix + layer + s.stage);
              },
          .writes = writes};
}

LayerProgress layer_progress(ProgressLine& line, const std::string& doing) {
  const std::string prefix = doing.empty() ? "" : doing + ": ";
  return [&line, prefix, watch = Stopwatch()](int64_t decided, int64_t n_layers) {
    line.share(static_cast<double>(decided) / static_cast<double>(n_layers), watch.seconds(),
               fmt::format("{}{} of {} layers merged", prefix, decided, n_layers));
  };
}

}  // namespace regroup
