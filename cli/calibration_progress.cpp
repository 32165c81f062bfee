#include "calibration_progress.h"

#include <fmt/format.h>

#include "regroup/checkpoint/text.h"

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
  const auto writes = [&line, prefix](int64_t tokens, int64_t all) {
    line.text(
        fmt::format(": {}the model writes its own text, {} of {} tokens", prefix, tokens, all));
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

}  // namespace regroup
