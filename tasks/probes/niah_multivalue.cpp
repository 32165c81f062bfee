// Four numbers for one word (RULER's niah_multivalue).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{
    .name = "niah_multivalue", .haystack = Haystack::kText, .values = 4};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_multivalue{
    .name = "niah_multivalue", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
