#pragma once

#include "regroup/checkpoint/family.h"

// Every family, one line each; family.cpp lists them.
namespace regroup {
extern const ModelFamily kLlama;
extern const ModelFamily kMistral;
}  // namespace regroup
