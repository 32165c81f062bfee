// What libFuzzer calls; REGROUP_FUZZ_TARGET is one of the functions of targets.h.
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return regroup::testing::REGROUP_FUZZ_TARGET(data, size);
}
