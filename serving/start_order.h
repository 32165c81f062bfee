#pragma once

#include <vector>

#include "sequence.h"

namespace regroup {

/// Running sequences in the order in which they started. Most of them end without ever being asked for: they are forgotten
/// now and then, or their places would take as much memory as the trace.
class StartOrder {
 public:
  /// @param slots  of the running sequences, by which those that are gone are told
  explicit StartOrder(const std::vector<Running>& slots) : slots_(slots) {}

  void add(const Place& place) {
    if (places_.size() >= 2 * slots_.size() + kKept) {
      std::erase_if(places_, [this](const Place& old) { return is_gone(old); });
    }
    places_.push_back(place);
  }
  /// Of those that still run; there must be one.
  Place take_youngest() {
    while (is_gone(places_.back())) places_.pop_back();
    const Place place = places_.back();
    places_.pop_back();
    return place;
  }
  size_t size() const { return places_.size(); }

 private:
  static constexpr size_t kKept =
      64;  // at least, so that few sequences are not looked through at each start

  bool is_gone(const Place& place) const {
    return slots_[place.slot].generation != place.generation;
  }

  const std::vector<Running>& slots_;
  std::vector<Place> places_;  ///< the youngest last
};

}  // namespace regroup
