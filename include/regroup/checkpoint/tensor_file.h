#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/base/input_file.h"
#include "regroup/checkpoint/dtype.h"

namespace regroup {

/// One tensor of a file. Offsets are relative to the data part.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t bytes() const { return end - begin; }
};

/// What a file of tensors holds, and where: what the reader of a format makes of its first or last bytes. Every tensor lies
/// inside the file, row by row and without holes, as many bytes as its shape and dtype take.
struct TensorTable {
  std::vector<TensorInfo> tensors;  ///< by (begin, end, name): the order of their bytes in the file
  std::map<std::string, std::string> metadata;
  int64_t data_begin = 0;  ///< byte of the file where the data part starts
};

/// What nobody may exceed.
inline constexpr int64_t kMaxTensorsPerFile = 1'000'000;
inline constexpr size_t kMaxNameBytes = 1024;
inline constexpr size_t kMaxRank = 16;

/// An open file of tensors. A format is a function that makes its table: safetensors.h, torch_file.h.
class TensorFile {
 public:
  using TableReader = TensorTable (*)(const InputFile& file);
  TensorFile(InputFile file, TableReader read_table);

  const std::vector<TensorInfo>& tensors() const { return table_.tensors; }
  const TensorTable& table() const { return table_; }
  const TensorInfo* find(std::string_view name) const;
  const InputFile& file() const { return file_; }
  const std::string& path() const { return file_.path(); }

  /// Reads `out.size()` bytes of `tensor`, from its byte `offset`.
  void read(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const;

 private:
  InputFile file_;
  TensorTable table_;
  std::map<std::string_view, const TensorInfo*> by_name_;
};

int64_t tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape);

}  // namespace regroup
