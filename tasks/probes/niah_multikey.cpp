// A number for a word, among numbers for other words (RULER's niah_multikey_2).
#include "probes/needle.h"

namespace regroup {
namespace {

constexpr probes::Needles kNeedles{.name = "niah_multikey", .only_needles = true};

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::make_needles(place, kNeedles);
}

}  // namespace

const ProbeDefinition probes::niah_multikey{.name = "niah_multikey", .axis = "", .make = make};

}  // namespace regroup
