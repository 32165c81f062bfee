#pragma once

#include <cstdint>
#include <functional>

namespace regroup {

/// While it lives, forward passes that this thread begins tell of each layer that they finish: one over a long context takes
/// minutes. On a GPU a layer counts when it is handed over.
class LayerObserver {
 public:
  using AfterLayer = std::function<void(int64_t layers_done)>;

  explicit LayerObserver(AfterLayer after_layer);
  ~LayerObserver();
  LayerObserver(const LayerObserver&) = delete;
  LayerObserver& operator=(const LayerObserver&) = delete;

 private:
  AfterLayer after_layer_;
  const AfterLayer* outer_;
};

/// What a forward pass calls.
void tell_layer_done(int64_t layers_done);

}  // namespace regroup
