// A number for a word, among numbers for other words (RULER's niah_multikey_2).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{.name = "niah_multikey", .haystack = Haystack::kNeedles};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_multikey{
    .name = "niah_multikey", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
