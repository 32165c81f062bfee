#include "regroup/checkpoint/tensor_file.h"

namespace regroup {

TensorFile::TensorFile(InputFile file, TableReader read_table)
    : file_(std::move(file)), table_(read_table(file_)) {
  for (const TensorInfo& tensor : table_.tensors) by_name_[tensor.name] = &tensor;
}

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

void TensorFile::read(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const {
  file_.read(table_.data_begin + tensor.begin + offset, out);
}

int64_t tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape) {
  auto bits = static_cast<uint64_t>(dtype_bits(dtype));  // 63 bits hold bytes, not bits
  for (const int64_t dimension : shape) bits *= static_cast<uint64_t>(dimension);
  return static_cast<int64_t>(bits / 8);
}

}  // namespace regroup
