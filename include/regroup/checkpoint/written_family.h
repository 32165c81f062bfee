#pragma once

#include "regroup/checkpoint/family.h"

namespace regroup {

/// The family whose folders a conversion of `family` writes: itself, but where its class has no grouped-query attention.
const ModelFamily& written_family(const ModelFamily& family);

}  // namespace regroup
