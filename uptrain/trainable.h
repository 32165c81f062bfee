#pragma once

#include <vector>

#include "optimizer.h"
#include "regroup/model/decoder.h"
#include "regroup/uptrain/options.h"

namespace regroup {

/// Marks what `scope` trains, so that it gets gradients; everything else keeps its bytes. The rows of K
/// and V in the fused projections get `kv_lr_scale`; those of Q are left out in scope kv.
std::vector<TrainedRows> choose_trainable(Decoder& decoder, TrainScope scope, double kv_lr_scale);

}  // namespace regroup
