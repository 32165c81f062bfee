// Which variables have a value, over a chain of assignments (RULER, arXiv:2404.06654, section 3.2).
#include <fmt/format.h>

#include <cmath>

#include "probes/probes.h"

namespace regroup {
namespace {

constexpr int64_t kVariables = 5;

std::string name_of(PythonRandom& random) {
  std::string name;
  for (int i = 0; i < 5; ++i) name += static_cast<char>('A' + random.randint(0, 25));
  return name;
}

probes::Question write(PythonRandom& random, int64_t sentences, double depth) {
  const std::string value = std::to_string(random.randint(10000, 99999));
  std::vector<std::string> names;
  std::vector<std::string> links;
  for (int64_t i = 0; i < kVariables; ++i) {
    names.push_back(name_of(random));
    links.push_back(
        i == 0 ? fmt::format("VAR {} = {}.", names[0], value)
               : fmt::format("VAR {} = VAR {}.", names.back(), names[static_cast<size_t>(i - 1)]));
  }
  // The chain begins at the depth that is asked for and goes on to the end of the text.
  const double first = static_cast<double>(sentences) * depth;
  std::string text;
  size_t next = 0;
  for (int64_t i = 0; i <= sentences; ++i) {
    const auto place = [&] {
      const double share = static_cast<double>(next) / static_cast<double>(kVariables);
      return std::llround(first + (static_cast<double>(sentences) - first) * share);
    };
    for (; next < links.size() && place() <= i; ++next) text += links[next] + " ";
    if (i < sentences) text += std::string(probes::filling(i)) + " ";
  }
  text.pop_back();
  std::string answer;
  for (const std::string& name : names) answer += " " + name;
  return {
      fmt::format(
          "Memorize and track the chain(s) of variable assignment hidden in the following "
          "text.\n\n{}\nQuestion: Find all variables that are assigned the value {} in the text "
          "above. Answer: According to the chain(s) of variable assignment in the text above, "
          "{} variables are assigned the value {}, they are:",
          text, value, kVariables, value),
      answer};
}

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::needle_cells(place, "variable_tracking", write);
}

}  // namespace

const ProbeDefinition probes::variable_tracking{.name = "variable_tracking",
                                                .axis = "",
                                                .passing = -1,
                                                .haystack = Haystack::kNoise,
                                                .make = make};

}  // namespace regroup
