// Random tokens, twice: whoever can look back says the second copy. What is lost of it is lost induction (arXiv:2209.11895).
#include <fmt/format.h>

#include "probes/probes.h"

namespace regroup {
namespace {

std::vector<ProbeCell> make(const ProbePlace& place) {
  std::vector<ProbeCell> cells;
  const std::vector<int64_t> start = probes::beginning(place);
  const int64_t longest = (place.max_length - static_cast<int64_t>(start.size())) / 2;
  for (int64_t copy = 16; copy <= longest; copy *= 2) {
    ProbeCell cell{.length = 2 * copy, .depth = {}, .count = copy, .requests = {}};
    for (int64_t trial = 0; trial < place.trials; ++trial) {
      PythonRandom random =
          probes::trial_random(place, fmt::format("repeated_tokens:{}", copy), trial);
      std::vector<int64_t> tokens;
      for (int64_t i = 0; i < copy; ++i) tokens.push_back(probes::ordinary_token(place, random));
      TokenRequest request{.ids = start, .scored = copy - 1, .item = static_cast<size_t>(trial)};
      request.ids.insert(request.ids.end(), tokens.begin(), tokens.end());
      request.ids.insert(request.ids.end(), tokens.begin(), tokens.end());
      cell.requests.push_back(std::move(request));  // nobody can know the first one
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace

const ProbeDefinition probes::repeated_tokens{
    .name = "repeated_tokens", .axis = "tokens", .passing = -3, .make = make};

}  // namespace regroup
