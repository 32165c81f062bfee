// A line of a phone book (arXiv:2402.01032, section 4.2).
#include <fmt/format.h>

#include "probes/probes.h"

namespace regroup {
namespace {

constexpr int64_t kLines[] = {10, 20, 50, 100, 200, 400};

struct Entry {
  std::string name;
  std::string number;
};

std::string capital(std::string word) {
  word[0] = static_cast<char>(word[0] - 'a' + 'A');
  return word;
}

Entry entry_of(PythonRandom& random) {
  Entry entry;
  entry.name = capital(probes::made_word(random, 2)) + " " + capital(probes::made_word(random, 3));
  entry.number = std::to_string(random.randint(6, 9));
  for (int i = 0; i < 9; ++i) entry.number += std::to_string(random.randint(0, 9));
  return entry;
}

probes::Question write(PythonRandom& random, int64_t lines) {
  std::vector<Entry> entries;
  for (int64_t i = 0; i < lines; ++i) entries.push_back(entry_of(random));
  std::string text;
  for (const Entry& entry : entries) text += entry.name + ": " + entry.number + "\n";
  const std::vector<int64_t> chosen = random.sample(lines, 3);
  for (const size_t i : {0, 1}) {
    const Entry& shown = entries[static_cast<size_t>(chosen[i])];
    text += "\n" + shown.name + ": " + shown.number;
  }
  const Entry& asked = entries[static_cast<size_t>(chosen[2])];
  return {text + "\n\n" + asked.name + ":", " " + asked.number};
}

std::vector<ProbeCell> make(const ProbePlace& place) {
  return probes::counted_cells(place, "phonebook", kLines, write);
}

}  // namespace

const ProbeDefinition probes::phonebook{.name = "phonebook", .axis = "lines", .make = make};

}  // namespace regroup
