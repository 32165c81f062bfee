#include "regroup/convert/head_channels.h"

namespace regroup {

HeadChannels head_channels(const ModelConfig& config) {
  HeadChannels channels{.head_dim = config.head_dim, .real = {}, .imaginary = {}, .rest = {}};
  const int64_t planes =
      config.attention.position == AttentionTraits::Position::kRotary ? config.rotary_dim / 2 : 0;
  const bool halves = config.attention.layout == AttentionTraits::Layout::kHalves;
  for (int64_t l = 0; l < planes; ++l) {
    channels.real.push_back(halves ? l : 2 * l);
    channels.imaginary.push_back(halves ? l + planes : 2 * l + 1);
  }
  for (int64_t i = 2 * planes; i < config.head_dim; ++i) channels.rest.push_back(i);
  return channels;
}

}  // namespace regroup
