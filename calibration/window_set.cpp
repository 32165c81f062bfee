#include "window_set.h"

namespace regroup {

WindowSet::WindowSet(const ModelConfig& config, const WindowSizes& cut, const at::Tensor& tokens,
                     const CalibrationOptions& options, at::Device device)
    : sizes(cut),
      ids(tokens),
      at_once(windows_at_once(cut.seq_len)),
      rope(make_rope_tables(config, cut.seq_len, cut.seq_len, device)),
      parent(cut.windows, cut.seq_len, config.hidden_size, options.scratch, device),
      converted(cut.windows, cut.seq_len, config.hidden_size, options.scratch, device) {
  const auto store = [&](std::optional<ActivationStore>& into, int64_t width) {
    into.emplace(cut.windows, cut.seq_len, width, options.scratch, device);
  };
  if (options.refit_output) store(before, config.hidden_size);
  if (options.aims_steps()) store(heads, config.query_size());
}

}  // namespace regroup
