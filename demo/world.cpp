#include "demo/world.h"

#include <fmt/args.h>
#include <fmt/format.h>

namespace regroup::demo {
namespace {

std::string with_article(const Thing& thing) {
  const bool vowel = std::string_view("aeiou").find(thing.colour[0]) != std::string_view::npos;
  return fmt::format("{} {}", vowel ? "an" : "a", with_colour(thing));
}

}  // namespace

World::World(Random& random) {
  people = random.sample(kNames, random.between(2, 3));
  const size_t n_things = random.between(2, 3);
  const auto nouns = random.sample(kThings, n_things);
  const auto colours = random.sample(kColours, n_things);
  for (size_t i = 0; i < n_things; ++i) things.push_back({colours[i], nouns[i]});
  places = random.sample(kPlaces, random.between(3, 4));
  elsewhere = places.back();
  places.pop_back();

  for (size_t i = 0; i < people.size(); ++i) where.push_back(random.below(places.size()));
  for (size_t i = 0; i < n_things; ++i) holder.push_back(random.below(people.size()));
  previous_holder.resize(n_things);
  likes.resize(people.size());
}

std::vector<size_t> World::things_of(size_t person) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < things.size(); ++i) {
    if (holder[i] == person) found.push_back(i);
  }
  return found;
}

std::vector<size_t> World::people_at(size_t place) const {
  std::vector<size_t> found;
  for (size_t i = 0; i < people.size(); ++i) {
    if (where[i] == place) found.push_back(i);
  }
  return found;
}

std::string fill(std::string_view sentence, const Slots& slots) {
  fmt::dynamic_format_arg_store<fmt::format_context> values;
  values.push_back(fmt::arg("a", slots.a));
  values.push_back(fmt::arg("b", slots.b));
  values.push_back(fmt::arg("f", slots.food));
  values.push_back(fmt::arg("m", slots.mood));
  if (slots.thing) {
    values.push_back(fmt::arg("o", with_colour(*slots.thing)));
    values.push_back(fmt::arg("io", with_article(*slots.thing)));
    values.push_back(fmt::arg("n", slots.thing->noun));
    values.push_back(fmt::arg("c", slots.thing->colour));
  }
  if (slots.place) {
    values.push_back(fmt::arg("p", with_preposition(*slots.place)));
    values.push_back(fmt::arg("q", slots.place->noun));
  }
  return fmt::vformat(fmt::string_view(sentence.data(), sentence.size()), values);
}

std::string with_preposition(const Place& place) {
  return fmt::format("{} the {}", place.preposition, place.noun);
}

std::string with_colour(const Thing& thing) {
  return fmt::format("{} {}", thing.colour, thing.noun);
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace regroup::demo
