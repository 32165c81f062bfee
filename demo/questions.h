#pragma once

#include <string>
#include <vector>

#include "demo/random.h"
#include "demo/world.h"

namespace regroup::demo {

/// Everything that can be asked about the world as it stands, each with its right answer, in
/// random order. No fact is asked for twice in the same words.
std::vector<std::string> questions_and_answers(const World& world, Random& random);

}  // namespace regroup::demo
