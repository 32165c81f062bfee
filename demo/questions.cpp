#include "demo/questions.h"

#include <fmt/format.h>

#include "demo/templates.h"

namespace regroup::demo {
namespace {

using namespace templates;

void ask_about_thing(const World& world, Random& random, size_t thing,
                     std::vector<std::string>& asked) {
  const size_t holder = world.holder[thing];
  const Slots slots{.a = world.people[holder],
                    .thing = world.things[thing],
                    .place = world.places[world.where[holder]]};
  asked.push_back(fill(random.pick(kWhoHas), slots));
  asked.push_back(fill(random.pick(kWhatColour), slots));
  asked.push_back(fill(random.pick(kWhereIsThing), slots));
  if (!world.previous_holder[thing]) return;
  asked.push_back(
      fill(random.pick(kWhoHadBefore), {.a = world.people[*world.previous_holder[thing]],
                                        .b = world.people[holder],
                                        .thing = world.things[thing]}));
}

std::string what_somebody_has(const World& world, size_t person) {
  std::vector<std::string> things;
  for (const size_t thing : world.things_of(person)) {
    things.push_back("the " + with_colour(world.things[thing]));
  }
  return fmt::format("What does {0} have? {0} has {1}.", world.people[person],
                     things.empty() ? "nothing" : join_words(things));
}

void ask_about_person(const World& world, Random& random, size_t person,
                      std::vector<std::string>& asked) {
  const Slots slots{.a = world.people[person],
                    .place = world.places[world.where[person]],
                    .food = world.likes[person]};
  asked.push_back(fill(random.pick(kWhereIs), slots));
  asked.push_back(what_somebody_has(world, person));
  if (slots.food.empty()) return;
  asked.push_back(fill(random.pick(kWhatLikes), slots));
  asked.push_back(fill(random.pick(kWhoLikes), slots));
}

std::string who_is_at(const World& world, size_t place) {
  std::vector<std::string> names;
  for (const size_t person : world.people_at(place)) names.emplace_back(world.people[person]);
  return fmt::format("Who is {0}? {1} {2} {0}.", with_preposition(world.places[place]),
                     names.empty() ? "Nobody" : join_words(names), names.size() > 1 ? "are" : "is");
}

}  // namespace

std::vector<std::string> questions_and_answers(const World& world, Random& random) {
  std::vector<std::string> asked;
  for (size_t i = 0; i < world.things.size(); ++i) ask_about_thing(world, random, i, asked);
  for (size_t i = 0; i < world.people.size(); ++i) ask_about_person(world, random, i, asked);
  for (size_t i = 0; i < world.places.size(); ++i) asked.push_back(who_is_at(world, i));
  random.shuffle(asked);
  return asked;
}

}  // namespace regroup::demo
