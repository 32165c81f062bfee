#include "regroup/model/layer_observer.h"

#include <utility>

namespace regroup {
namespace {

thread_local const LayerObserver::AfterLayer* observer = nullptr;

}  // namespace

LayerObserver::LayerObserver(AfterLayer after_layer)
    : after_layer_(std::move(after_layer)), outer_(std::exchange(observer, &after_layer_)) {}

LayerObserver::~LayerObserver() { observer = outer_; }

void tell_layer_done(int64_t layers_done) {
  if (observer != nullptr) (*observer)(layers_done);
}

}  // namespace regroup
