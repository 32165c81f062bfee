#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/checkpoint/tensor_file.h"

namespace regroup {

/// What nobody may exceed.
inline constexpr int64_t kMaxHeaderBytes = 100'000'000;

/// Parses the JSON header text of a file with `data_bytes` bytes after it. `path` names the file in
/// errors. One non-recursive pass; duplicate keys are refused at every level.
/// Stricter than the reference on purpose: no leading white space, no unknown fields, no repeated
/// names, no dimension above 2^63-1, no control characters in names.
/// @throws CheckpointError  ST_*
TensorTable parse_safetensors_header(std::string_view header, int64_t data_bytes,
                                     const std::string& path);

/// The header of a safetensors file as it stands in the file. @throws CheckpointError ST_*
TensorTable read_safetensors_table(const InputFile& file);

/// An open safetensors file whose header has passed every check: offsets tile the data part exactly.
class SafetensorsFile : public TensorFile {
 public:
  explicit SafetensorsFile(InputFile file);
};

/// A tensor about to be written: name, dtype and shape; offsets follow from the order.
struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
};

/// The 8 length bytes and the header JSON, padded with spaces to a multiple of 8. Tensors follow each
/// other in the order given; metadata keys are sorted. The same input gives the same bytes.
std::string make_safetensors_prefix(const std::vector<TensorSpec>& tensors,
                                    const std::map<std::string, std::string>& metadata);

}  // namespace regroup
