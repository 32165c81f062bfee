// Words in no order, twice, of which the second copy is said (arXiv:2402.01032, section 4.1).
#include "probes/probes.h"

namespace regroup {
namespace {

constexpr int64_t kWords[] = {25, 50, 100, 200, 400, 800};

probes::Question write(PythonRandom& random, int64_t words) {
  const std::string first = probes::made_word(random, 2);
  std::string rest;
  for (int64_t i = 1; i < words; ++i) {
    rest += " " + probes::made_word(random, random.randint(1, 3));
  }
  return {first + rest + "\n\n" + first, rest};
}

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::counted_cells(place, "copy", kWords, write);
}

}  // namespace

const ProbeDefinition probes::copy{.name = "copy", .axis = "words", .passing = -1, .make = make};

}  // namespace regroup
