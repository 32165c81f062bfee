#include "demo/narration.h"

#include "demo/templates.h"

namespace regroup::demo {
namespace {

using namespace templates;

/// A number from 0 to n - 1 other than `taken`.
size_t another(Random& random, size_t n, size_t taken) {
  const size_t choice = random.below(n - 1);
  return choice < taken ? choice : choice + 1;
}

std::string tell_filler(const World& world, Random& random) {
  const std::string_view a = random.pick(world.people);
  const std::string_view mood = random.pick(kMoods);
  return fill(random.pick(kFiller), {.a = a, .place = world.elsewhere, .mood = mood});
}

std::string tell_move(World& world, Random& random) {
  const size_t a = random.below(world.people.size());
  world.where[a] = another(random, world.places.size(), world.where[a]);
  return fill(random.pick(kMove), {.a = world.people[a], .place = world.places[world.where[a]]});
}

/// A thing changes hands; its owner goes to meet the other person first.
std::string tell_gift(World& world, Random& random) {
  const size_t thing = random.below(world.things.size());
  const size_t a = world.holder[thing];
  const size_t b = another(random, world.people.size(), a);
  Slots slots{.a = world.people[a], .b = world.people[b], .thing = world.things[thing]};
  std::string text;
  if (world.where[a] != world.where[b]) {
    world.where[a] = world.where[b];
    slots.place = world.places[world.where[a]];
    text = fill(random.pick(kVisit), slots) + " ";
  }
  world.holder[thing] = b;
  world.previous_holder[thing] = a;
  return text + fill(random.pick(kGive), slots);
}

std::string tell_again(const World& world, Random& random) {
  if (random.below(3) == 0) {
    const size_t a = random.below(world.people.size());
    return fill(random.pick(kStillThere),
                {.a = world.people[a], .place = world.places[world.where[a]]});
  }
  const size_t thing = random.below(world.things.size());
  return fill(random.pick(kStillHolds),
              {.a = world.people[world.holder[thing]], .thing = world.things[thing]});
}

/// Where `person` is, and the first of their things where `with_thing`.
std::string tell_place(const World& world, Random& random, size_t person, bool with_thing) {
  Slots slots{.a = world.people[person], .place = world.places[world.where[person]]};
  if (!with_thing) return fill(random.pick(kPersonAtPlace), slots);
  slots.thing = world.things[world.things_of(person).front()];
  return fill(random.pick(kPersonAtPlaceWithThing), slots);
}

}  // namespace

std::vector<std::string> tell_beginning(World& world, Random& random) {
  std::vector<std::string> sentences;
  if (random.below(3) == 0) sentences.emplace_back(random.pick(kOpening));
  for (size_t person = 0; person < world.people.size(); ++person) {
    const std::vector<size_t> things = world.things_of(person);
    const bool together = !things.empty() && random.below(3) == 0;
    sentences.push_back(tell_place(world, random, person, together));
    for (size_t i = together ? 1 : 0; i < things.size(); ++i) {
      sentences.push_back(fill(random.pick(kPersonWithThing),
                               {.a = world.people[person], .thing = world.things[things[i]]}));
    }
  }
  std::vector<std::string_view> foods = random.sample(kFoods, world.people.size());
  for (size_t person = 0; person < world.people.size(); ++person) {
    if (random.below(2) == 0) continue;
    world.likes[person] = foods[person];
    sentences.push_back(
        fill(random.pick(kLikes), {.a = world.people[person], .food = foods[person]}));
  }
  return sentences;
}

std::string tell_event(World& world, Random& random) {
  switch (random.below(8)) {
    case 0:
    case 1:
      return tell_move(world, random);
    case 2:
    case 3:
    case 4:
      return tell_gift(world, random);
    case 5:
    case 6:
      return tell_again(world, random);
    default:
      return tell_filler(world, random);
  }
}

}  // namespace regroup::demo
