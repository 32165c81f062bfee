#include "window_set.h"

#include "regroup/model/layer.h"

namespace regroup {

WindowSet::WindowSet(const ModelConfig& config, const WindowSizes& cut, const at::Tensor& tokens,
                     bool keeps_before, const std::string& scratch, at::Device device)
    : sizes(cut),
      ids(tokens),
      at_once(windows_at_once(cut.seq_len)),
      rope(make_rope_table(config, cut.seq_len, cut.seq_len, device)),
      parent(cut.windows, cut.seq_len, config.hidden_size, scratch, device),
      converted(cut.windows, cut.seq_len, config.hidden_size, scratch, device) {
  if (keeps_before) before.emplace(cut.windows, cut.seq_len, config.hidden_size, scratch, device);
}

}  // namespace regroup
