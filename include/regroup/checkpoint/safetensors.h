#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/base/input_file.h"
#include "regroup/checkpoint/dtype.h"

namespace regroup {

/// One tensor of a safetensors file. Offsets are relative to the data part.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t bytes() const { return end - begin; }
};

/// A checked header: offsets tile the data part exactly, sizes agree with shapes and dtypes.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< by (begin, end, name): the order of their bytes in the file
  std::map<std::string, std::string> metadata;
  int64_t data_begin = 0;  ///< byte of the file where the data part starts
};

/// What nobody may exceed.
inline constexpr int64_t kMaxHeaderBytes = 100'000'000;
inline constexpr int64_t kMaxTensorsPerFile = 1'000'000;
inline constexpr size_t kMaxNameBytes = 1024;
inline constexpr size_t kMaxRank = 16;

/// Parses the JSON header text of a file with `data_bytes` bytes after it. `path` names the file in
/// errors. One non-recursive pass; duplicate keys are refused at every level.
/// Stricter than the reference on purpose: no leading white space, no unknown fields, no repeated
/// names, no dimension above 2^63-1, no control characters in names.
/// @throws CheckpointError  ST_*
SafetensorsHeader parse_safetensors_header(std::string_view header, int64_t data_bytes,
                                           const std::string& path);

/// An open safetensors file whose header has passed every check.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(InputFile file);

  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const SafetensorsHeader& header() const { return header_; }
  const TensorInfo* find(std::string_view name) const;
  const InputFile& file() const { return file_; }
  const std::string& path() const { return file_.path(); }

  /// Reads `out.size()` bytes of `tensor`, from its byte `offset`.
  void read(const TensorInfo& tensor, int64_t offset, std::span<std::byte> out) const;

 private:
  InputFile file_;
  SafetensorsHeader header_;
  std::map<std::string_view, const TensorInfo*> by_name_;
};

/// A tensor about to be written: name, dtype and shape; offsets follow from the order.
struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
};

int64_t tensor_bytes(Dtype dtype, const std::vector<int64_t>& shape);

/// The 8 length bytes and the header JSON, padded with spaces to a multiple of 8. Tensors follow each
/// other in the order given; metadata keys are sorted. The same input gives the same bytes.
std::string make_safetensors_prefix(const std::vector<TensorSpec>& tensors,
                                    const std::map<std::string, std::string>& metadata);

}  // namespace regroup
