// A number of five digits in a text about nothing (arXiv:2305.16300, section 4.3).
#include <fmt/format.h>

#include <cmath>

#include "probes/probes.h"

namespace regroup {
namespace {

probes::Question write(PythonRandom& random, int64_t sentences, double depth) {
  const int64_t key = random.randint(10000, 99999);
  std::string text =
      "There is an important info hidden inside a lot of irrelevant text. Find it and memorize "
      "it. I will quiz you about the important information there.\n";
  const int64_t before = std::llround(static_cast<double>(sentences) * depth);
  for (int64_t i = 0; i <= sentences; ++i) {
    if (i == before) {
      text += fmt::format("The pass key is {}. Remember it. {} is the pass key. ", key, key);
    }
    if (i < sentences) text += std::string(probes::filling(i)) + " ";
  }
  text.back() = '\n';
  return {text + "What is the pass key? The pass key is", fmt::format(" {}", key)};
}

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::needle_cells(place, "passkey", write);
}

}  // namespace

const ProbeDefinition probes::passkey{
    .name = "passkey", .axis = "", .haystack = Haystack::kNoise, .make = make};

}  // namespace regroup
