// Recall among many pairs (MQAR, arXiv:2312.04927): keys and values are random tokens, one key is asked for again, and the
// answer is chosen among the values.
#include <fmt/format.h>

#include <algorithm>

#include "probes/probes.h"

namespace regroup {
namespace {

constexpr int64_t kPairs[] = {4, 8, 16, 32, 64};

std::vector<ProbeCell> make(const ProbePlace& place) {
  std::vector<ProbeCell> cells;
  const std::vector<int64_t> start = probes::beginning(place);
  for (const int64_t pairs : kPairs) {
    const int64_t length = static_cast<int64_t>(start.size()) + 2 * pairs + 1;
    if (length > place.max_length || 4 * pairs > place.vocab_size) break;
    ProbeCell cell{.length = length,
                   .depth = {},
                   .count = pairs,
                   .requests = {},
                   .choices = static_cast<size_t>(pairs)};
    for (int64_t trial = 0; trial < place.trials; ++trial) {
      PythonRandom random = probes::trial_random(place, fmt::format("mqar:{}", pairs), trial);
      std::vector<int64_t> tokens;  // keys, then values; none twice
      while (static_cast<int64_t>(tokens.size()) < 2 * pairs) {
        const int64_t token = probes::ordinary_token(place, random);
        if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
      }
      const auto asked = static_cast<size_t>(random.randbelow(static_cast<uint64_t>(pairs)));
      const auto n = static_cast<size_t>(pairs);
      std::vector<int64_t> ids = start;
      for (size_t i = 0; i < n; ++i) ids.insert(ids.end(), {tokens[i], tokens[n + i]});
      ids.push_back(tokens[asked]);
      std::swap(tokens[n], tokens[n + asked]);  // the right one comes first
      for (size_t i = 0; i < n; ++i) {
        TokenRequest request{.ids = ids, .scored = 1, .item = static_cast<size_t>(trial)};
        request.ids.push_back(tokens[n + i]);
        cell.requests.push_back(std::move(request));
      }
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace

const ProbeDefinition probes::mqar{.name = "mqar", .axis = "pairs", .passing = -2, .make = make};

}  // namespace regroup
