// A number for one of four words, in a text of the user's (RULER's niah_multikey_1).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{
    .name = "niah_essay_multikey", .haystack = Haystack::kText, .keys = 4};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_essay_multikey{
    .name = "niah_essay_multikey", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
