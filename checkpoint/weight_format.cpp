#include <atomic>

#include "model_folder_names.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/checkpoint/safetensors.h"
#include "torch_file.h"

namespace regroup {
namespace {

std::atomic<bool> pickles_allowed = false;

}  // namespace

void allow_pickled_weights(bool allow) { pickles_allowed = allow; }
bool allows_pickled_weights() { return pickles_allowed; }

const WeightFormat& safetensors_format() {
  static constexpr WeightFormat kFormat = {kSingle, kIndex, "model", ".safetensors",
                                           read_safetensors_table};
  return kFormat;
}

const WeightFormat& torch_format() {
  static constexpr WeightFormat kFormat = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                           "pytorch_model", ".bin", read_torch_table};
  return kFormat;
}

}  // namespace regroup
