#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {

/// Rows of a tensor that a file holds.
struct StoredRows {
  TensorLocation tensor;
  PartRows rows;
};

/// A tensor that no file holds as it is: rows of one that a file holds, as they are or as part of what is computed.
///   without `gains` and `matrix`: the rows as they are, or `constant` everywhere
///   with `gains` [width]: rows[i][j] * gains[j]
///   with `matrix` [n, width] and `shift` [width]: rows[i] (0 where there are none) + sum over j of matrix[i][j] * shift[j]
struct MadeTensor {
  TensorInfo info;  ///< F32 where it is computed
  Dtype kept;       ///< what a conversion stores
  std::optional<StoredRows> rows = {};
  float constant = 0;
  std::optional<TensorLocation> gains = {};
  std::optional<StoredRows> matrix = {};
  std::optional<TensorLocation> shift = {};

  bool is_computed() const { return !rows || gains || matrix; }
};

/// The tensors of a folder that are made while they are read.
class MadeTensors {
 public:
  using Shards = std::vector<std::unique_ptr<TensorFile>>;

  const MadeTensor& add(MadeTensor tensor);
  const MadeTensor* find(const std::string& name) const;
  /// Bytes of `tensor` from byte `offset`, a multiple of an element's size where it is computed.
  void read(const MadeTensor& tensor, const Shards& shards, int64_t offset,
            std::span<std::byte> out) const;

 private:
  std::map<std::string, MadeTensor> tensors_;
};

}  // namespace regroup
