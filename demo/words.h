#pragma once

#include <string_view>

// What the stories are about. Every entry is one word, so that a reader (and the test) can tell
// names, colours, things and places apart by their position in a sentence.
namespace regroup::demo {

struct Place {
  std::string_view preposition;  ///< "in", "at" or "on"
  std::string_view noun;
};

inline constexpr std::string_view kNames[] = {
    "Ada",  "Adam", "Alma", "Amy",  "Anna", "Arlo", "Axel", "Ben",  "Bella", "Bruno", "Carl",
    "Cleo", "Dan",  "Dora", "Ed",   "Ella", "Elsa", "Emil", "Emma", "Eric",  "Eva",   "Finn",
    "Fred", "Gus",  "Hana", "Hugo", "Ian",  "Ida",  "Iris", "Ivan", "Jack",  "Jane",  "Jim",
    "Joan", "Kai",  "Kate", "Kim",  "Lars", "Lea",  "Leo",  "Lily", "Lola",  "Lucy",  "Mark",
    "Mia",  "Max",  "Nina", "Noah", "Nora", "Olga", "Omar", "Otto", "Paul",  "Petra", "Rita",
    "Rosa", "Ruth", "Sam",  "Sara", "Tara", "Theo", "Tom",  "Uma",  "Vera",  "Wim",   "Zoe",
};

// Small enough to be carried and given away.
inline constexpr std::string_view kThings[] = {
    "apron",  "bag",     "ball",     "basket", "bell",    "belt",   "book",    "boot",   "bottle",
    "bowl",   "box",     "bracelet", "brush",  "bucket",  "button", "cake",    "camera", "candle",
    "cap",    "card",    "clock",    "coat",   "coin",    "comb",   "cup",     "doll",   "drum",
    "fan",    "feather", "flag",     "flute",  "glove",   "guitar", "hammer",  "hat",    "horn",
    "jar",    "key",     "kite",     "lamp",   "lantern", "letter", "map",     "mask",   "mirror",
    "mug",    "pen",     "pillow",   "pipe",   "plate",   "puppet", "puzzle",  "radio",  "ribbon",
    "ring",   "rope",    "scarf",    "shell",  "shovel",  "spoon",  "stamp",   "stone",  "teapot",
    "ticket", "toy",     "umbrella", "vase",   "violin",  "wallet", "whistle",
};

inline constexpr std::string_view kColours[] = {
    "red",   "blue",  "green", "yellow", "orange", "purple", "pink",  "brown",
    "black", "white", "grey",  "golden", "silver", "violet", "cream", "crimson",
};

inline constexpr Place kPlaces[] = {
    {"in", "attic"},   {"at", "bakery"},  {"in", "barn"},    {"on", "beach"},   {"on", "bridge"},
    {"in", "cabin"},   {"in", "cafe"},    {"at", "castle"},  {"in", "cellar"},  {"at", "church"},
    {"on", "deck"},    {"at", "dock"},    {"at", "farm"},    {"in", "field"},   {"in", "forest"},
    {"in", "garden"},  {"in", "hall"},    {"at", "harbour"}, {"on", "hill"},    {"on", "island"},
    {"in", "kitchen"}, {"at", "lake"},    {"in", "library"}, {"at", "market"},  {"in", "meadow"},
    {"at", "mill"},    {"in", "museum"},  {"in", "orchard"}, {"in", "park"},    {"on", "pier"},
    {"at", "pond"},    {"at", "river"},   {"in", "school"},  {"at", "station"}, {"on", "terrace"},
    {"in", "valley"},  {"in", "village"},
};

inline constexpr std::string_view kFoods[] = {
    "apples", "bread", "butter", "carrots", "cheese", "cherries", "figs",     "grapes",
    "honey",  "jam",   "melons", "milk",    "nuts",   "olives",   "pancakes", "peaches",
    "pears",  "peas",  "pies",   "plums",   "rice",   "soup",     "toast",    "tea",
};

inline constexpr std::string_view kMoods[] = {
    "happy", "calm", "tired", "proud", "cheerful", "curious", "hungry", "sleepy", "lucky", "quiet",
};

}  // namespace regroup::demo
