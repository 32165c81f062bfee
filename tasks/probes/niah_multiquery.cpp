// The numbers for four words (RULER's niah_multiquery).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{
    .name = "niah_multiquery", .haystack = Haystack::kText, .keys = 4, .queries = 4};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_multiquery{
    .name = "niah_multiquery", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
