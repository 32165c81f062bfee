// A number for a word, in a text of the user's (RULER's niah_single_2).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{.name = "niah_essay", .haystack = Haystack::kText};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_essay{
    .name = "niah_essay", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
