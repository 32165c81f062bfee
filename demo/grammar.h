#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

namespace regroup::demo {

/// Stands after every document of a corpus file: a line of its own.
inline constexpr std::string_view kSeparator = "\n<|endoftext|>\n";

/// One story on one line, a pure function of its seed. It first tells where some people are and
/// what they have, then what they do, and then asks about it. The world is simulated alongside, so
/// every answer is right at that point of the story; most were told sentences earlier, so a
/// model has to look back to know them.
std::string make_document(uint64_t seed);

enum class Split { kTrain, kValid };

/// As many documents as fit into `bytes`, each followed by kSeparator. The splits draw from
/// different seeds.
/// @param seen  every document ever made, over all splits: none is made twice
std::string make_corpus(uint64_t seed, Split split, int64_t bytes,
                        std::unordered_set<std::string>& seen);

}  // namespace regroup::demo
