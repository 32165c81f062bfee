#pragma once

#include <string>
#include <vector>

#include "demo/random.h"
#include "demo/world.h"

namespace regroup::demo {

/// The sentences that tell where everybody is, what they have and, of some, what they like.
std::vector<std::string> tell_beginning(World& world, Random& random);

/// Lets something happen (somebody goes somewhere, a thing changes hands), or nothing but the
/// passing of time, and tells it in one or two sentences.
std::string tell_event(World& world, Random& random);

}  // namespace regroup::demo
