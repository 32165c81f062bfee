// A long number for a long number, among others (RULER's niah_multikey_3).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{
    .name = "niah_uuid", .haystack = Haystack::kNeedles, .long_keys = true, .long_values = true};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_uuid{
    .name = "niah_uuid", .axis = "", .haystack = kNeedles.haystack, .make = make};

}  // namespace regroup
