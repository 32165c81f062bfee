#pragma once

#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "demo/words.h"

namespace regroup::demo {

/// Reads a story as a person would, knowing nothing of how it was made: notes the facts that
/// sentences state, and judges every answer and every fact told again by them.
class Reader {
 public:
  /// Empty, or what is wrong with the story.
  std::string judge(const std::string& document) {
    std::string question;
    for (const std::string& sentence : sentences(document)) {
      if (sentence.ends_with('?')) {
        question = sentence;
      } else if (!question.empty()) {
        ++answers_;
        if (!is_right(question, sentence)) return question + " " + sentence;
        question.clear();
      } else if (!note(sentence)) {
        return "contradicts what was told: " + sentence;
      }
    }
    return question;
  }
  int answers() const { return answers_; }

 private:
  static std::vector<std::string> sentences(const std::string& text) {
    static const std::regex pattern("[^ ].*?[.?]\"?(?= |$)");
    return {std::sregex_token_iterator(text.begin(), text.end(), pattern), {}};
  }

  /// In a pattern: NAME, THING, PLACE and FOOD. Gives the matched words.
  bool matches(const std::string& sentence, std::string pattern) {
    static const std::pair<const char*, const char*> kSlots[] = {
        {"NAME", "([A-Z][a-z]+)"},
        {"THING", "([a-z]+ [a-z]+)"},
        {"PLACE", "(?:in|at|on) the ([a-z]+)"},
        {"WORD", "([a-z]+)"}};
    static std::map<std::string, std::regex> compiled;
    auto found = compiled.find(pattern);
    if (found == compiled.end()) {
      std::string text = pattern;
      for (const auto& [slot, regex] : kSlots)
        text = std::regex_replace(text, std::regex(slot), regex);
      found = compiled.emplace(pattern, std::regex(text)).first;
    }
    std::smatch match;
    if (!std::regex_match(sentence, match, found->second)) return false;
    words_.assign(match.begin() + 1, match.end());
    return true;
  }

  bool give(const std::string& from, const std::string& thing, const std::string& to) {
    const bool possible = owner_[thing] == from && where_[from] == where_[to] && from != to;
    owner_[thing] = to;
    previous_[thing] = from;
    return possible;
  }

  bool note(const std::string& s) {
    const auto& w = words_;
    if (matches(s,
                "(?:That day )?NAME (?:was|sat|stood|was waiting|spent the morning|was resting) "
                "PLACE(?: (?:with|and held|and looked at) an? THING)?\\.")) {
      where_[w[0]] = w[1];
      if (!w[2].empty()) owner_[w[2]] = w[0];
      return true;
    }
    if (matches(s,
                "NAME (?:had|owned|carried|had just bought|had brought) an? "
                "THING(?:, a gift from home| and was proud of it)?\\.")) {
      return owner_.emplace(w[1], w[0]).second;
    }
    if (matches(s, "\"I like WORD,\" said NAME\\.") ||
        matches(s, "\"Nothing is as good as WORD,\" said NAME\\.") ||
        matches(s, "\"What I like most is WORD,\" said NAME\\.")) {
      return likes_.emplace(w[1], w[0]).second;
    }
    if (matches(s, "NAME said, \"I like WORD\\.\"") ||
        matches(s, "NAME often dreamed of WORD\\.")) {
      return likes_.emplace(w[0], w[1]).second;
    }
    if (matches(s, "NAME (?:went|came|ran) to the WORD (?:to see|to meet|and found) NAME\\.")) {
      where_[w[0]] = w[1];
      return where_[w[2]] == w[1];
    }
    if (matches(s,
                "(?:After a while |Then )?NAME (?:went|walked|ran|hurried|took a slow walk) "
                "to the WORD\\.")) {
      return std::exchange(where_[w[0]], w[1]) != w[1];
    }
    if (matches(s, "NAME (?:gave|handed|passed) the THING to NAME\\."))
      return give(w[0], w[1], w[2]);
    if (matches(s, "NAME let NAME have the THING\\.")) return give(w[0], w[2], w[1]);
    if (matches(s, "Then NAME gave NAME the THING\\.")) return give(w[0], w[2], w[1]);
    if (matches(s, "NAME got the THING from NAME\\.")) return give(w[2], w[1], w[0]);
    if (matches(s, "NAME asked NAME for the THING and got it\\.")) return give(w[1], w[2], w[0]);
    if (matches(s, "NAME (?:still had|kept|looked at) the THING(?: close| for a long time)?\\.")) {
      return owner_.at(w[1]) == w[0];
    }
    if (matches(s, "The THING was safe with NAME\\.")) return owner_.at(w[0]) == w[1];
    if (matches(s, "Nobody but NAME had the THING\\.")) return owner_.at(w[1]) == w[0];
    if (matches(s, "NAME (?:was still|stayed|was happy to be) PLACE\\."))
      return where_[w[0]] == w[1];
    return matches(s, "NAME (?:(?:felt|looked) WORD|smiled|hummed a song)\\.") ||
           matches(s,
                   "(?:It|The|A|Far|Soon|Snow|Some|Spring|Clouds|Everyone) (?:(?!the THING ).)*") ||
           matches(s, "Nobody was in a hurry\\.");
  }

  std::string at(const std::string& person) {
    const std::string& noun = where_.at(person);
    for (const Place& place : kPlaces) {
      if (place.noun == noun) return std::string(place.preposition) + " the " + noun;
    }
    return "nowhere";
  }

  /// The words of `answer` that `pattern` finds are those of `expected`, in any order.
  static bool lists(const std::string& answer, const char* pattern,
                    const std::set<std::string>& expected) {
    const std::regex regex(pattern);
    std::set<std::string> found{std::sregex_token_iterator(answer.begin(), answer.end(), regex, 1),
                                {}};
    return found == expected;
  }

  static std::set<std::string> keys_of(const std::map<std::string, std::string>& map,
                                       const std::string& value) {
    std::set<std::string> keys;
    for (const auto& [key, held] : map) {
      if (held == value) keys.insert(key);
    }
    return keys;
  }

  bool is_right(const std::string& question, const std::string& answer) {
    const auto& w = words_;
    if (matches(question, "What does NAME have\\?")) {
      const std::set<std::string> things = keys_of(owner_, w[0]);
      if (things.empty()) return answer == w[0] + " has nothing.";
      return answer.starts_with(w[0] + " has the ") && lists(answer, "the ([a-z]+ [a-z]+)", things);
    }
    if (matches(question, "Who is PLACE\\?")) {
      std::set<std::string> people = keys_of(where_, w[0]);
      if (people.empty()) people.insert("Nobody");
      return lists(answer, "([A-Z][a-z]+)", people);
    }
    return right_answers(question).contains(answer);
  }

  std::set<std::string> right_answers(const std::string& q) {
    const auto& w = words_;
    if (matches(q, "Who has the THING(?: now)?\\?") || matches(q, "Who is holding the THING\\?") ||
        matches(q, "Where did the THING end up\\?")) {
      const std::string who = owner_.at(w[0]);
      return {who + " has the " + w[0] + ".", who + " has it.", "It is " + who + ".",
              "It is with " + who + "."};
    }
    if (matches(q, "Who had the THING before NAME\\?")) {
      if (owner_.at(w[0]) != w[1]) return {};
      return {"It was " + previous_.at(w[0]) + "."};
    }
    if (matches(q, "Before NAME, who had the THING\\?")) {
      if (owner_.at(w[1]) != w[0]) return {};
      return {previous_.at(w[1]) + " had it."};
    }
    if (matches(q, "Where (?:is|can we see) the THING\\?")) {
      const std::string who = owner_.at(w[0]);
      return {"It is " + at(who) + " with " + who + ".", "We can see it " + at(who) + "."};
    }
    if (matches(q, "Where (?:is|can we find) NAME(?: now)?\\?")) {
      return {w[0] + " is " + at(w[0]) + ".", "We can find " + w[0] + " " + at(w[0]) + "."};
    }
    if (matches(q, "What colour is the WORD\\?")) {
      std::set<std::string> answers;
      for (const auto& [thing, who] : owner_) {
        if (!thing.ends_with(" " + w[0])) continue;
        const std::string colour = thing.substr(0, thing.find(' '));
        answers = {"The " + w[0] + " is " + colour + ".", "It is " + colour + "."};
      }
      return answers;
    }
    if (matches(q, "What (?:does|would) NAME like(?: to eat)?\\?")) {
      const std::string food = likes_.at(w[0]);
      return {w[0] + " likes " + food + ".", w[0] + " would like " + food + "."};
    }
    if (matches(q, "Who (?:likes|would like some) WORD\\?")) {
      for (const auto& [who, food] : likes_) {
        if (food == w[0]) return {who + " likes " + food + ".", who + " would."};
      }
    }
    return {};
  }

  std::map<std::string, std::string> where_, owner_, previous_, likes_;
  std::vector<std::string> words_;
  int answers_ = 0;
};

}  // namespace regroup::demo
