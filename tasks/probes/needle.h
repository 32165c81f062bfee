#pragma once

#include "probes/probes.h"

namespace regroup::probes {

/// Needles of RULER (arXiv:2404.06654, section 3.1).
struct Needles {
  std::string_view name;
  Haystack haystack = Haystack::kNoise;
  bool long_keys = false;    ///< keys are numbers of 32 hexadecimal digits, else words
  bool long_values = false;  ///< values likewise, else numbers of seven digits
  int64_t keys = 1;          ///< needles with other keys beside
  int64_t values = 1;        ///< of the key asked for
  int64_t queries = 1;       ///< keys asked for
};

std::vector<ProbeCell> make_needles(const ProbePlace& place, const Needles& needles);

}  // namespace regroup::probes
