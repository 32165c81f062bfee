#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demo/random.h"
#include "demo/words.h"

namespace regroup::demo {

struct Thing {
  std::string_view colour;
  std::string_view noun;
};

/// Who and what a story is about, and how things stand at this point of it. People, things and
/// places are numbered; no two things share a noun or a colour.
struct World {
  explicit World(Random& random);

  std::vector<std::string_view> people;
  std::vector<Thing> things;
  std::vector<Place> places;
  Place elsewhere;  ///< nobody of the story ever goes there

  std::vector<size_t> where;                           ///< person -> place
  std::vector<size_t> holder;                          ///< thing -> person
  std::vector<std::optional<size_t>> previous_holder;  ///< thing -> person
  std::vector<std::string_view> likes;                 ///< person -> food; empty: never said

  std::vector<size_t> things_of(size_t person) const;
  std::vector<size_t> people_at(size_t place) const;
};

/// What the slots of a template (templates.h) stand for.
struct Slots {
  std::string_view a = {};
  std::string_view b = {};
  std::optional<Thing> thing = {};
  std::optional<Place> place = {};
  std::string_view food = {};
  std::string_view mood = {};
};

/// The template with its slots filled in.
std::string fill(std::string_view sentence, const Slots& slots);

std::string with_preposition(const Place& place);  ///< "in the garden"
std::string with_colour(const Thing& thing);       ///< "red kite"

/// "Tom", "Tom and Anna", "Tom, Anna and Ben"
std::string join_words(const std::vector<std::string>& words);

}  // namespace regroup::demo
