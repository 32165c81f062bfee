#pragma once

#include <string_view>

// The sentences of the stories. Slots: {a} and {b} people; {o} a thing with its colour, {io} the
// same with its article; {n} and {c} a thing's noun and colour; {p} a place with its preposition,
// {q} its noun; {f} a food; {m} a mood. "{a}" is whom the sentence is about.
namespace regroup::demo::templates {

// A fact for the first time.
inline constexpr std::string_view kPersonAtPlace[] = {
    "{a} was {p}.",         "{a} sat {p}.",          "{a} stood {p}.",
    "{a} was waiting {p}.", "That day {a} was {p}.", "{a} spent the morning {p}.",
    "{a} was resting {p}.",
};
inline constexpr std::string_view kPersonWithThing[] = {
    "{a} had {io}.",
    "{a} owned {io}.",
    "{a} carried {io}.",
    "{a} had just bought {io}.",
    "{a} had brought {io}.",
    "{a} had {io} and was proud of it.",
    "{a} had {io}, a gift from home.",
};
inline constexpr std::string_view kPersonAtPlaceWithThing[] = {
    "{a} was {p} with {io}.",
    "{a} sat {p} and held {io}.",
    "{a} stood {p} and looked at {io}.",
};
inline constexpr std::string_view kLikes[] = {
    "\"I like {f},\" said {a}.",
    "{a} said, \"I like {f}.\"",
    "\"Nothing is as good as {f},\" said {a}.",
    "\"What I like most is {f},\" said {a}.",
    "{a} often dreamed of {f}.",
};

// Something changes.
inline constexpr std::string_view kMove[] = {
    "{a} went to the {q}.",         "{a} walked to the {q}.",
    "{a} ran to the {q}.",          "After a while {a} went to the {q}.",
    "Then {a} hurried to the {q}.", "{a} took a slow walk to the {q}.",
};
inline constexpr std::string_view kVisit[] = {
    "{a} went to the {q} to see {b}.",
    "{a} came to the {q} to meet {b}.",
    "{a} ran to the {q} and found {b}.",
};
inline constexpr std::string_view kGive[] = {
    "{a} gave the {o} to {b}.",   "{a} handed the {o} to {b}.",
    "{a} passed the {o} to {b}.", "{a} let {b} have the {o}.",
    "{b} got the {o} from {a}.",  "{b} asked {a} for the {o} and got it.",
    "Then {a} gave {b} the {o}.",
};

// A fact told again.
inline constexpr std::string_view kStillHolds[] = {
    "{a} still had the {o}.",      "The {o} was safe with {a}.",
    "{a} kept the {o} close.",     "{a} looked at the {o} for a long time.",
    "Nobody but {a} had the {o}.",
};
inline constexpr std::string_view kStillThere[] = {
    "{a} was still {p}.",
    "{a} stayed {p}.",
    "{a} was happy to be {p}.",
};

// Nothing that is asked about.
inline constexpr std::string_view kFiller[] = {
    "The sun was warm.",
    "It rained a little.",
    "A soft wind blew.",
    "The sky was clear.",
    "Clouds drifted by.",
    "Snow began to fall.",
    "The air smelled of flowers.",
    "Far away a bell rang.",
    "A bird sang.",
    "It was getting late.",
    "The hours went by.",
    "It was a quiet day.",
    "Soon it was noon.",
    "Everyone laughed.",
    "Nobody was in a hurry.",
    "A dog slept {p}.",
    "Some children played {p}.",
    "It was busy {p}.",
    "{a} felt {m}.",
    "{a} looked {m}.",
    "{a} smiled.",
    "{a} hummed a song.",
};
inline constexpr std::string_view kOpening[] = {
    "It was a bright morning.", "It was a cold winter day.", "It was a fine summer day.",
    "It was Sunday.",           "Spring had come.",          "The rain had stopped.",
};

// Questions with their answers.
inline constexpr std::string_view kWhoHas[] = {
    "Who has the {o}? {a} has the {o}.",
    "Who has the {o} now? {a} has it.",
    "Who is holding the {o}? It is {a}.",
    "Where did the {o} end up? It is with {a}.",
};
inline constexpr std::string_view kWhoHadBefore[] = {
    "Who had the {o} before {b}? It was {a}.",
    "Before {b}, who had the {o}? {a} had it.",
};
inline constexpr std::string_view kWhereIs[] = {
    "Where is {a}? {a} is {p}.",
    "Where is {a} now? {a} is {p}.",
    "Where can we find {a}? We can find {a} {p}.",
};
inline constexpr std::string_view kWhereIsThing[] = {
    "Where is the {o}? It is {p} with {a}.",
    "Where can we see the {o}? We can see it {p}.",
};
inline constexpr std::string_view kWhatColour[] = {
    "What colour is the {n}? The {n} is {c}.",
    "What colour is the {n}? It is {c}.",
};
inline constexpr std::string_view kWhatLikes[] = {
    "What does {a} like? {a} likes {f}.",
    "What would {a} like to eat? {a} would like {f}.",
};
inline constexpr std::string_view kWhoLikes[] = {
    "Who likes {f}? {a} likes {f}.",
    "Who would like some {f}? {a} would.",
};

}  // namespace regroup::demo::templates
