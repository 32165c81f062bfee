#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "fuzz/memory_file.h"
#include "fuzz/targets.h"
#include "regroup/base/error.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup::testing {
namespace {

constexpr size_t kLengthBytes = 8;

/// An accepted header, written again and read again, must be the same.
void check_rewritten(const TensorTable& header, int64_t data_bytes) {
  std::vector<TensorSpec> specs;
  for (const TensorInfo& tensor : header.tensors) {
    if (tensor.bytes() != tensor_bytes(tensor.dtype, tensor.shape))
      throw std::logic_error("a tensor has another size than its shape");
    specs.push_back({.name = tensor.name, .dtype = tensor.dtype, .shape = tensor.shape});
  }
  const std::string written = make_safetensors_prefix(specs, header.metadata).substr(kLengthBytes);
  TensorTable again;
  try {
    again = parse_safetensors_header(written, data_bytes, "model.safetensors");
  } catch (const Error& error) {
    throw std::logic_error(std::string("the rewritten header is refused: ") + error.what());
  }
  bool same = again.metadata == header.metadata && again.tensors.size() == specs.size();
  for (size_t i = 0; same && i < specs.size(); ++i) {
    const TensorInfo &a = again.tensors[i], &b = header.tensors[i];
    // Empty tensors at one place are sorted by name, as they were.
    same = a.name == b.name && a.shape == b.shape && a.begin == b.begin && a.end == b.end;
  }
  if (!same) throw std::logic_error("the rewritten header is another one");
}

void read_header(std::string_view header, int64_t data_bytes) {
  TensorTable accepted;
  try {
    accepted = parse_safetensors_header(header, data_bytes, "model.safetensors");
  } catch (const Error&) {
    return;
  }
  check_rewritten(accepted, data_bytes);
}

void read_file(const uint8_t* data, size_t size) {
  static const MemoryFile file("safetensors");
  file.hold(data, size);
  try {
    const SafetensorsFile opened{InputFile(file.path())};
    for (const TensorInfo& tensor : opened.tensors()) {
      std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes()));
      opened.read(tensor, 0, bytes);
    }
  } catch (const Error&) {
  }
}

}  // namespace

int fuzz_safetensors(const uint8_t* data, size_t size) {
  uint64_t length = 0;
  if (size >= kLengthBytes) std::memcpy(&length, data, kLengthBytes);
  const bool has_header = size >= kLengthBytes && length <= INT64_MAX;
  if (has_header) {
    const auto* header = reinterpret_cast<const char*>(data) + kLengthBytes;
    read_header({header, size - kLengthBytes}, static_cast<int64_t>(length));
  }
  read_file(data, size);
  return 0;
}

}  // namespace regroup::testing
