#pragma once

#include "regroup/checkpoint/family.h"

// Every family, one line each; family.cpp lists them.
namespace regroup {
extern const ModelFamily kLlama;
extern const ModelFamily kMistral;
extern const ModelFamily kQwen2;
extern const ModelFamily kStableLm;
}  // namespace regroup
