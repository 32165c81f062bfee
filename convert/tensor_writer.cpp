#include "tensor_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/normal_stream.h"

namespace regroup {
namespace {

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  return count;
}

bool is_key(Role role) { return role == Role::kKey || role == Role::kKeyBias; }

}  // namespace

void TensorWriter::write(const TensorPlan& tensor, ShardWriter& out) {
  switch (tensor.action) {
    case Action::kCopy:
      return copy(tensor, out);
    case Action::kCast:
      return cast(tensor, out);
    case Action::kMerge:
      return plan_.transforms[static_cast<size_t>(tensor.layer)].redraw ? redraw(tensor, out)
                                                                        : merge(tensor, out);
    case Action::kFoldQuery:
      return fold_query(tensor, out);
    case Action::kFoldOutput:
      return fold_output(tensor, out);
    case Action::kReplace:
      return replace(tensor, out);
  }
}

Chunk TensorWriter::read_checked(const TensorPlan& tensor, int64_t offset, int64_t bytes) {
  const std::string& name = tensor.spec.name;
  Chunk chunk = source_.read(name, offset, bytes);
  if (options_.allow_nonfinite) return chunk;
  const Dtype dtype = source_.dtype(name);
  int64_t first = 0;
  const int64_t count = count_nonfinite(dtype, *chunk, &first);
  if (count > 0) {
    throw CheckpointError(
        {.code = "VAL_NONFINITE",
         .message = fmt::format("weights must be finite, found NaN or infinity at element {}",
                                offset / (dtype_bits(dtype) / 8) + first),
         .path = options_.model,
         .tensor = name,
         .hint = "the checkpoint is damaged; `allow-nonfinite` converts it all the same"});
  }
  return chunk;
}

void TensorWriter::read(const TensorPlan& tensor, int64_t first, std::span<double> out) {
  const Dtype dtype = source_.dtype(tensor.spec.name);
  const int64_t width = dtype_bits(dtype) / 8;
  const auto bytes = static_cast<int64_t>(out.size()) * width;
  for (int64_t at = 0; at < bytes; at += kChunkBytes) {
    const int64_t n = std::min(kChunkBytes, bytes - at);
    const Chunk chunk = read_checked(tensor, first * width + at, n);
    widen(dtype, *chunk,
          out.subspan(static_cast<size_t>(at / width), static_cast<size_t>(n / width)));
  }
}

void TensorWriter::emit(const TensorPlan& tensor, std::span<const double> values,
                        ShardWriter& out) {
  const int64_t width = dtype_bits(tensor.spec.dtype) / 8;
  const auto per_chunk = static_cast<size_t>(kChunkBytes / width);
  for (size_t at = 0; at < values.size(); at += per_chunk) {
    const auto part = values.subspan(at, std::min(per_chunk, values.size() - at));
    Chunk chunk = pool_.get(static_cast<int64_t>(part.size()) * width);
    const int64_t overflowed = round_to(tensor.spec.dtype, part, *chunk);
    if (overflowed > 0) {
      throw CheckpointError({.code = "VAL_OVERFLOW",
                             .message = fmt::format("{} values are too large for {}", overflowed,
                                                    dtype_name(tensor.spec.dtype)),
                             .path = options_.model,
                             .tensor = tensor.spec.name,
                             .hint = "choose `dtype` bf16 or f32"});
    }
    out.write(chunk);
  }
}

void TensorWriter::copy(const TensorPlan& tensor, ShardWriter& out) {
  const int64_t bytes = source_.tensor_bytes(tensor.spec.name);
  for (int64_t at = 0; at < bytes; at += kChunkBytes) {
    out.write(read_checked(tensor, at, std::min(kChunkBytes, bytes - at)));
  }
}

void TensorWriter::cast(const TensorPlan& tensor, ShardWriter& out) {
  const int64_t elements = element_count(tensor.spec.shape);
  std::vector<double> block;
  for (int64_t at = 0; at < elements; at += kChunkBytes / 8) {
    block.resize(static_cast<size_t>(std::min(kChunkBytes / 8, elements - at)));
    read(tensor, at, block);
    emit(tensor, block, out);
  }
}

void TensorWriter::merge(const TensorPlan& tensor, ShardWriter& out) {
  const LayerTransform& transform = plan_.transforms[static_cast<size_t>(tensor.layer)];
  const auto& encode = is_key(tensor.role) ? transform.encode_key : transform.encode_value;
  const int64_t groups = plan_.after.n_kv_heads;
  const int64_t members = plan_.before.n_kv_heads / groups;
  const int64_t width = tensor.spec.shape.size() == 1 ? 1 : tensor.spec.shape[1];
  const int64_t head = plan_.before.head_dim * width;  // elements of one head: [head_dim, width]
  std::vector<double> block(static_cast<size_t>(head));
  std::vector<double> merged(static_cast<size_t>(head));
  for (int64_t group = 0; group < groups; ++group) {
    bool first = true;
    for (int64_t member = group * members; member < (group + 1) * members; ++member) {
      const HeadMatrix& matrix = encode[static_cast<size_t>(member)];
      const int64_t old = transform.permutation[static_cast<size_t>(member)];
      read(tensor, old * head,
           block);  // also when its weight is 0: every byte is checked and hashed
      if (matrix.is_zero()) continue;
      fold_.accumulate(matrix, block, merged, width, first);
      first = false;
    }
    if (first) std::fill(merged.begin(), merged.end(), 0.0);
    if (transform.divisor != 1.0) {
      for (double& value : merged) value /= transform.divisor;
    }
    emit(tensor, merged, out);
  }
}

void TensorWriter::redraw(const TensorPlan& tensor, ShardWriter& out) {
  const int64_t elements =
      source_.tensor_bytes(tensor.spec.name) / (dtype_bits(source_.dtype(tensor.spec.name)) / 8);
  std::vector<double> block;
  double sum = 0;
  double squares = 0;
  for (int64_t at = 0; at < elements; at += kChunkBytes / 8) {
    block.resize(static_cast<size_t>(std::min(kChunkBytes / 8, elements - at)));
    read(tensor, at, block);
    for (const double value : block) {
      sum += value;
      squares += value * value;
    }
  }
  const double mean = sum / static_cast<double>(elements);
  const double deviation =
      std::sqrt(std::max(0.0, squares / static_cast<double>(elements) - mean * mean));
  NormalStream normal(options_.seed, tensor.spec.name);
  const int64_t wanted = element_count(tensor.spec.shape);
  for (int64_t at = 0; at < wanted; at += kChunkBytes / 8) {
    block.resize(static_cast<size_t>(std::min(kChunkBytes / 8, wanted - at)));
    for (double& value : block) value = deviation * normal.next();
    emit(tensor, block, out);
  }
}

std::string calibrated_layer_path(const std::string& folder, int64_t layer) {
  return fmt::format("{}/layer-{:05}.safetensors", folder, layer);
}

void TensorWriter::replace(const TensorPlan& tensor, ShardWriter& out) {
  const SafetensorsFile layer(InputFile(calibrated_layer_path(plan_.weights_folder, tensor.layer)));
  const TensorInfo& info = *layer.find(tensor.spec.name);
  for (int64_t at = 0; at < info.bytes(); at += kChunkBytes) {
    const Chunk chunk = pool_.get(std::min(kChunkBytes, info.bytes() - at));
    layer.read(info, at, *chunk);
    out.write(chunk);
  }
}

void TensorWriter::fold_query(const TensorPlan& tensor, ShardWriter& out) {
  const LayerTransform& transform = plan_.transforms[static_cast<size_t>(tensor.layer)];
  const int64_t readers = plan_.before.group_size();  // query heads that read one parent KV head
  const int64_t width = tensor.spec.shape.size() == 1 ? 1 : tensor.spec.shape[1];
  const int64_t head = plan_.before.head_dim * width;
  std::vector<double> block(static_cast<size_t>(head));
  for (int64_t query = 0; query < plan_.before.n_heads; ++query) {
    const auto kv = static_cast<size_t>(query / readers);
    const int64_t old = transform.permutation[kv] * readers + query % readers;
    read(tensor, old * head, block);
    fold_.rows(transform.decode_key[kv], transform.logit_gain[static_cast<size_t>(query)], block,
               width);
    emit(tensor, block, out);
  }
}

void TensorWriter::fold_output(const TensorPlan& tensor, ShardWriter& out) {
  const LayerTransform& transform = plan_.transforms[static_cast<size_t>(tensor.layer)];
  const int64_t readers = plan_.before.group_size();
  const int64_t d = plan_.before.head_dim;
  const int64_t rows = tensor.spec.shape[0];
  const int64_t row_size = tensor.spec.shape[1];  // n_heads * head_dim
  const int64_t rows_at_once = std::max<int64_t>(1, kRowBlockBytes / 8 / row_size);
  std::vector<double> before;
  std::vector<double> after;
  for (int64_t row = 0; row < rows; row += rows_at_once) {
    const int64_t n = std::min(rows_at_once, rows - row);
    before.resize(static_cast<size_t>(n * row_size));
    after.resize(before.size());
    read(tensor, row * row_size, before);
    for (int64_t query = 0; query < plan_.before.n_heads; ++query) {
      const auto kv = static_cast<size_t>(query / readers);
      const int64_t old = transform.permutation[kv] * readers + query % readers;
      fold_.columns(transform.decode_value[kv], transform.output_gain[static_cast<size_t>(query)],
                    {.in = before,
                     .out = after,
                     .rows = n,
                     .row_size = row_size,
                     .head_dim = d,
                     .from = old * d,
                     .to = query * d});
    }
    emit(tensor, after, out);
  }
}

}  // namespace regroup
