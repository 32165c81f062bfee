// Words in no order, twice, of which the second copy is said (arXiv:2402.01032, section 4.1).
#include <fmt/format.h>

#include "probes/probes.h"

namespace regroup {
namespace {

constexpr int64_t kWords[] = {25, 50, 100, 200, 400, 800};

std::vector<ProbeCell> make(const ProbePlace& place) {
  std::vector<ProbeCell> cells;
  for (const int64_t words : kWords) {
    ProbeCell cell{.length = 0, .depth = {}, .count = words, .requests = {}};
    for (int64_t trial = 0; trial < place.trials; ++trial) {
      PythonRandom random = probes::trial_random(place, fmt::format("copy:{}", words), trial);
      const std::string first = probes::made_word(random, 2);
      std::string rest;
      for (int64_t i = 1; i < words; ++i)
        rest += " " + probes::made_word(random, random.randint(1, 3));
      const probes::Question question{first + rest + "\n\n" + first, rest};
      const auto tokens =
          static_cast<int64_t>(place.tokenizer.encode(question.context + question.answer).size());
      if (tokens > place.max_length) return cells;
      cell.length = std::max(cell.length, tokens);
      cell.requests.push_back(probes::request_of(place, question, static_cast<size_t>(trial)));
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace

const ProbeDefinition probes::copy{.name = "copy", .axis = "words", .passing = -1, .make = make};

}  // namespace regroup
