// A number for a word, in a text about nothing (RULER's niah_single_1).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{.name = "niah_single"};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_single{
    .name = "niah_single", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
