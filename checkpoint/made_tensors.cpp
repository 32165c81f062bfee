#include "made_tensors.h"

#include <algorithm>

namespace regroup {
namespace {

constexpr int64_t kElementsAtOnce = 1 << 17;

int64_t element_bytes(Dtype dtype) { return dtype_bits(dtype) / 8; }

int64_t width_of(const TensorInfo& info) { return info.shape.size() == 1 ? 1 : info.shape[1]; }

/// Bytes of the rows, as if they were a tensor of their own.
void read_rows(const MadeTensors::Shards& shards, const StoredRows& from, int64_t offset,
               std::span<std::byte> out) {
  const auto& [tensor, rows] = from;
  const int64_t row = width_of(*tensor.info) * element_bytes(tensor.info->dtype);
  const int64_t run = rows.run * row;
  for (size_t done = 0; done < out.size();) {
    const int64_t at = offset + static_cast<int64_t>(done);
    const int64_t begin = (rows.first + at / run * rows.stride) * row + at % run;
    const auto n = std::min(out.size() - done, static_cast<size_t>(run - at % run));
    shards[tensor.shard]->read(*tensor.info, begin, out.subspan(done, n));
    done += n;
  }
}

/// Elements [first, first + out.size()) of the rows.
void read_values(const MadeTensors::Shards& shards, const StoredRows& from, int64_t first,
                 std::span<double> out) {
  const Dtype dtype = from.tensor.info->dtype;
  std::vector<std::byte> bytes(out.size() * static_cast<size_t>(element_bytes(dtype)));
  read_rows(shards, from, first * element_bytes(dtype), bytes);
  widen(dtype, bytes, out);
}

std::vector<double> read_vector(const MadeTensors::Shards& shards, const TensorLocation& from) {
  const TensorInfo& info = *from.info;
  std::vector<double> values(static_cast<size_t>(info.shape[0]));
  std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
  shards[from.shard]->read(info, 0, bytes);
  widen(info.dtype, bytes, values);
  return values;
}

void add_products(const MadeTensors::Shards& shards, const MadeTensor& made, int64_t first,
                  std::span<double> out) {
  const std::vector<double> shift = read_vector(shards, *made.shift);
  const auto width = static_cast<int64_t>(shift.size());
  std::vector<double> row(shift.size());
  for (size_t i = 0; i < out.size(); ++i) {
    read_values(shards, *made.matrix, (first + static_cast<int64_t>(i)) * width, row);
    for (size_t j = 0; j < row.size(); ++j) out[i] += row[j] * shift[j];
  }
}

void compute(const MadeTensors::Shards& shards, const MadeTensor& made, int64_t first,
             std::span<double> out) {
  if (made.rows) {
    read_values(shards, *made.rows, first, out);
  } else {
    std::fill(out.begin(), out.end(), double{made.constant});
  }
  if (made.gains) {
    const std::vector<double> gains = read_vector(shards, *made.gains);
    size_t column = static_cast<size_t>(first) % gains.size();
    for (double& value : out) {
      value *= gains[column];
      if (++column == gains.size()) column = 0;
    }
  }
  if (made.matrix) add_products(shards, made, first, out);
}

}  // namespace

const MadeTensor& MadeTensors::add(MadeTensor tensor) {
  const std::string name = tensor.info.name;
  return tensors_.emplace(name, std::move(tensor)).first->second;
}

const MadeTensor* MadeTensors::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

void MadeTensors::read(const MadeTensor& tensor, const Shards& shards, int64_t offset,
                       std::span<std::byte> out) const {
  if (!tensor.is_computed()) return read_rows(shards, *tensor.rows, offset, out);
  const int64_t bytes = element_bytes(tensor.info.dtype);
  const auto n = static_cast<int64_t>(out.size()) / bytes;
  std::vector<double> values;
  for (int64_t at = 0; at < n; at += kElementsAtOnce) {
    values.resize(static_cast<size_t>(std::min(kElementsAtOnce, n - at)));
    compute(shards, tensor, offset / bytes + at, values);
    round_to(
        tensor.info.dtype, values,
        out.subspan(static_cast<size_t>(at * bytes), values.size() * static_cast<size_t>(bytes)));
  }
}

}  // namespace regroup
