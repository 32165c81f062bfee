#include <unistd.h>

#include <stdexcept>
#include <string_view>
#include <vector>

#include "fuzz/memory_file.h"
#include "fuzz/targets.h"
#include "pickle.h"
#include "regroup/base/error.h"
#include "torch_file.h"

namespace regroup::testing {
namespace {

void read_pickle(std::string_view text) {
  try {
    const pickle::Values values =
        pickle::read(text, {"collections.OrderedDict", "torch.FloatStorage"}, "data.pkl");
    for (const auto& items : values.sequences) {
      for (const pickle::Value& item : items) {
        if (item.place > 0 && item.place >= values.sequences.size())
          throw std::logic_error("a value points at nothing");
      }
    }
  } catch (const Error&) {
  }
}

void read_file(const MemoryFile& file) {
  try {
    const TensorFile opened(InputFile(file.path()), read_torch_table);
    for (const TensorInfo& tensor : opened.tensors()) {
      if (tensor.bytes() != tensor_bytes(tensor.dtype, tensor.shape))
        throw std::logic_error("a tensor has another size than its shape");
      std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes()));
      opened.read(tensor, 0, bytes);
    }
  } catch (const Error&) {
  }
}

}  // namespace

int fuzz_torch(const uint8_t* data, size_t size) {
  static const MemoryFile file("torch");
  read_pickle({reinterpret_cast<const char*>(data), size});
  file.hold(data, size);
  read_file(file);
  return 0;
}

}  // namespace regroup::testing
