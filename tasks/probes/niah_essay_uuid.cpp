// A long number for a word, in a text of the user's (RULER's niah_single_3).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{
    .name = "niah_essay_uuid", .haystack = Haystack::kText, .long_values = true};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_essay_uuid{
    .name = "niah_essay_uuid", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
