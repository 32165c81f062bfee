#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "head_muon.h"
#include "regroup/model/decoder.h"
#include "window_order.h"

namespace regroup {

struct EndToEndOptions {
  int64_t steps = 0;
  int64_t step_windows = 1;
  double learning_rate = 0;  ///< size of a step relative to the weights' own
  int64_t warmup = 3;
  uint64_t seed = 0;
  std::function<void(int64_t steps)> stepped = {};  ///< called after every step, may throw
};

/// Trains Wq, Wk, Wv and Wo of all layers together, and their biases, so that the model's next-token
/// distribution becomes the parent's: KL(parent || converted), everything else frozen. Errors of single
/// layers add up on their way through the others; here they may make up for each other.
/// Source: arXiv:1503.02531, section 2, at temperature 1; after layer-wise training as in
/// arXiv:2411.19146.
class EndToEnd {
 public:
  /// @param windows  int64 [windows, seq], on the host
  EndToEnd(Decoder& decoder, const Decoder& parent, const at::Tensor& windows,
           const EndToEndOptions& options);
  ~EndToEnd();  ///< the decoder's weights are without gradients again
  EndToEnd(const EndToEnd&) = delete;
  EndToEnd& operator=(const EndToEnd&) = delete;

  /// Goes on until so many steps are done.
  void run_until(int64_t steps);
  /// Weights of all layers, copies.
  std::vector<std::vector<at::Tensor>> weights() const;
  /// Goes back to them, and on with steps a quarter as large.
  void restore(const std::vector<std::vector<at::Tensor>>& weights);

 private:
  double learning_rate() const;
  std::vector<at::Tensor> step_gradients(const std::vector<int64_t>& windows) const;
  at::Tensor loss(const std::vector<int64_t>& windows, double scale) const;
  void apply(const std::vector<at::Tensor>& gradients);

  Decoder& decoder_;
  const Decoder& parent_;
  at::Tensor windows_;
  EndToEndOptions options_;
  WindowOrder order_;
  std::vector<HeadMuon> layers_;
  std::vector<at::Tensor> leaves_;
  int64_t steps_ = 0;
  double smaller_ = 1;  // of the learning rate
};

}  // namespace regroup
