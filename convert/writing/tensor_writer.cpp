#include "tensor_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"

namespace regroup {
namespace {

bool is_key(Role role) { return role == Role::kKey || role == Role::kKeyBias; }

int64_t width_of(Dtype dtype) { return dtype_bits(dtype) / 8; }

/// Weights of a mean that members enter as their keys do.
std::vector<double> gain_weights(const LayerTransform& transform, int64_t first, int64_t members) {
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = first; i < first + members; ++i) {
    weights.push_back(transform.encode_key[static_cast<size_t>(i)].scale);
    sum += weights.back();
  }
  for (double& weight : weights) {
    weight = sum != 0 ? weight / sum : 1 / static_cast<double>(members);
  }
  return weights;
}

}  // namespace

void TensorWriter::write(const TensorPlan& tensor, ShardWriter& out) {
  const int64_t width = tensor.width();
  drawn_.clear();
  for (int64_t run = 0; run < tensor.parts.front().after.n_runs(); ++run) {
    for (const PartPlan& part : tensor.parts) {
      const int64_t first = tensor.head * part.after.count + run * part.after.run;
      write(Job{tensor, part, out, width, first, part.after.run});
    }
  }
}

void TensorWriter::write(const Job& job) {
  switch (job.part.action) {
    case Action::kCopy:
      return copy(job, job.first * job.width, job.count * job.width);
    case Action::kCast:
    case Action::kMake:
      return cast(job, job.first * job.width, job.count * job.width);
    case Action::kMerge:
      if (job.part.role == Role::kKeyNorm) return merge_gains(job);
      return transform(job).redraw ? redraw(job) : merge(job);
    case Action::kRepeat:
      return repeat(job);
    case Action::kFoldQuery:
      return fold_query(job);
    case Action::kFoldOutput:
      return fold_output(job);
    case Action::kReplace:
      return replace(job);
  }
}

Dtype TensorWriter::dtype_of(const Job& job, int64_t element) const {
  const PartPlace& place = job.part.before;
  return source_.dtype(place.tensor_of(element / (place.rows.run * job.width)));
}

Chunk TensorWriter::read_checked(const Job& job, int64_t first, int64_t count) {
  const PartRows& rows = job.part.before.rows;
  const int64_t run = rows.run * job.width;
  const std::string& name = job.part.before.tensor_of(first / run);
  const Dtype dtype = source_.dtype(name);
  const int64_t width = width_of(dtype);
  const int64_t begin =
      (rows.first + first / run * rows.stride) * job.width + first % run;  // of the tensor
  const int64_t n = std::min({count, run - first % run, kChunkBytes / width});
  Chunk chunk = source_.read(name, begin * width, n * width);
  if (options_.allow_nonfinite) return chunk;
  int64_t at = 0;
  if (count_nonfinite(dtype, *chunk, &at) > 0) {
    throw CheckpointError(
        {.code = "VAL_NONFINITE",
         .message =
             fmt::format("weights must be finite, found NaN or infinity at element {}", begin + at),
         .path = options_.model,
         .tensor = name,
         .hint = "the checkpoint is damaged; `allow-nonfinite` converts it all the same"});
  }
  return chunk;
}

void TensorWriter::read(const Job& job, int64_t first, std::span<double> out) {
  for (size_t at = 0; at < out.size();) {
    const int64_t element = first + static_cast<int64_t>(at);
    const Chunk chunk = read_checked(job, element, static_cast<int64_t>(out.size() - at));
    const Dtype dtype = dtype_of(job, element);
    const size_t n = chunk->size() / static_cast<size_t>(width_of(dtype));
    widen(dtype, *chunk, out.subspan(at, n));
    at += n;
  }
}

void TensorWriter::emit(const Job& job, std::span<const double> values) {
  const Dtype dtype = job.tensor.spec.dtype;
  const int64_t width = width_of(dtype);
  const auto per_chunk = static_cast<size_t>(kChunkBytes / width);
  for (size_t at = 0; at < values.size(); at += per_chunk) {
    const auto part = values.subspan(at, std::min(per_chunk, values.size() - at));
    Chunk chunk = pool_.get(static_cast<int64_t>(part.size()) * width);
    const int64_t overflowed = round_to(dtype, part, *chunk);
    if (overflowed > 0) {
      throw CheckpointError(
          {.code = "VAL_OVERFLOW",
           .message = fmt::format("{} values are too large for {}", overflowed, dtype_name(dtype)),
           .path = options_.model,
           .tensor = job.tensor.spec.name,
           .hint = "choose `dtype` bf16 or f32"});
    }
    job.out.write(chunk);
  }
}

void TensorWriter::copy(const Job& job, int64_t first, int64_t count) {
  for (int64_t at = first; at < first + count;) {
    const Chunk chunk = read_checked(job, at, first + count - at);
    job.out.write(chunk);
    at += static_cast<int64_t>(chunk->size()) / width_of(dtype_of(job, at));
  }
}

void TensorWriter::cast(const Job& job, int64_t first, int64_t count) {
  std::vector<double> block;
  for (int64_t at = 0; at < count; at += kChunkBytes / 8) {
    block.resize(static_cast<size_t>(std::min(kChunkBytes / 8, count - at)));
    read(job, first + at, block);
    emit(job, block);
  }
}

/// Each head several times in a row: query heads go on reading the head that they read.
void TensorWriter::repeat(const Job& job) {
  const int64_t copies = plan_.after.n_kv_heads / plan_.before.n_kv_heads;
  const int64_t head = plan_.before.head_dim * job.width;
  const int64_t begin = job.first / plan_.before.head_dim;
  const int64_t end = begin + job.count / plan_.before.head_dim;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = i / copies * head;
    const bool same = job.tensor.spec.dtype == dtype_of(job, first);
    same ? copy(job, first, head) : cast(job, first, head);
  }
}

void TensorWriter::merge(const Job& job) {
  const LayerTransform& transform = this->transform(job);
  const auto& encode = is_key(job.part.role) ? transform.encode_key : transform.encode_value;
  const int64_t members = plan_.before.n_kv_heads / plan_.after.n_kv_heads;
  const int64_t head = plan_.before.head_dim * job.width;  // elements of [head_dim, width]
  const int64_t begin = job.first / plan_.before.head_dim;
  const int64_t end = begin + job.count / plan_.before.head_dim;
  std::vector<double> block(static_cast<size_t>(head));
  std::vector<double> merged(static_cast<size_t>(head));
  for (int64_t group = begin; group < end; ++group) {
    bool first = true;
    for (int64_t member = group * members; member < (group + 1) * members; ++member) {
      const HeadMatrix& matrix = encode[static_cast<size_t>(member)];
      const int64_t old = transform.permutation[static_cast<size_t>(member)];
      read(job, old * head,
           block);  // also when its weight is 0: every byte is checked and hashed
      if (matrix.is_zero()) continue;
      fold_.accumulate(matrix, block, merged, job.width, first);
      first = false;
    }
    if (first) std::fill(merged.begin(), merged.end(), 0.0);
    if (transform.divisor != 1.0) {
      for (double& value : merged) value /= transform.divisor;
    }
    emit(job, merged);
  }
}

/// AttentionTraits::has_gains_of_heads: the mean of the members' gains, weighted as their keys are.
void TensorWriter::merge_gains(const Job& job) {
  const LayerTransform& transform = this->transform(job);
  const int64_t d = plan_.before.head_dim;
  const int64_t members = plan_.before.n_kv_heads / plan_.after.n_kv_heads;
  std::vector<double> block(static_cast<size_t>(d));
  const int64_t begin = job.first / d;
  const int64_t end = begin + job.count / d;
  for (int64_t group = begin; group < end; ++group) {
    const int64_t first = group * members;
    const std::vector<double> weights = gain_weights(transform, first, members);
    std::vector<double> merged(static_cast<size_t>(d), 0.0);
    for (int64_t i = 0; i < members; ++i) {
      read(job, transform.permutation[static_cast<size_t>(first + i)] * d, block);
      for (size_t c = 0; c < block.size(); ++c) {
        merged[c] += weights[static_cast<size_t>(i)] * block[c];
      }
    }
    emit(job, merged);
  }
}

double TensorWriter::deviation_of(const Job& job) {
  const int64_t elements = job.elements();
  std::vector<double> block;
  double sum = 0;
  double squares = 0;
  for (int64_t at = 0; at < elements; at += kChunkBytes / 8) {
    block.resize(static_cast<size_t>(std::min(kChunkBytes / 8, elements - at)));
    read(job, at, block);
    for (const double value : block) {
      sum += value;
      squares += value * value;
    }
  }
  const double mean = sum / static_cast<double>(elements);
  return std::sqrt(std::max(0.0, squares / static_cast<double>(elements) - mean * mean));
}

void TensorWriter::redraw(const Job& job) {
  auto drawn = drawn_.find(job.part.role);
  if (drawn == drawn_.end()) {
    const std::string name = part_name(plan_.before, job.part.role, job.tensor.layer);
    drawn =
        drawn_.emplace(job.part.role, Drawn{deviation_of(job), NormalStream(options_.seed, name)})
            .first;
  }
  auto& [deviation, normal] = drawn->second;
  const int64_t wanted = job.count * job.width;
  std::vector<double> block;
  for (int64_t at = 0; at < wanted; at += kChunkBytes / 8) {
    block.resize(static_cast<size_t>(std::min(kChunkBytes / 8, wanted - at)));
    for (double& value : block) value = deviation * normal.next();
    emit(job, block);
  }
}

std::string calibrated_layer_path(const std::string& folder, int64_t layer) {
  return fmt::format("{}/layer-{:05}.safetensors", folder, layer);
}

void TensorWriter::replace(const Job& job) {
  const int64_t number = job.tensor.layer;
  const SafetensorsFile layer(InputFile(calibrated_layer_path(plan_.weights_folder, number)));
  const TensorInfo& info = *layer.find(part_name(plan_.before, job.part.role, number));
  const int64_t row = job.width * width_of(info.dtype);
  const int64_t end = (job.first + job.count) * row;
  for (int64_t at = job.first * row; at < end; at += kChunkBytes) {
    const Chunk chunk = pool_.get(std::min(kChunkBytes, end - at));
    layer.read(info, at, *chunk);
    job.out.write(chunk);
  }
}

void TensorWriter::fold_query(const Job& job) {
  const LayerTransform& transform = this->transform(job);
  const int64_t readers = plan_.before.group_size();  // query heads that read one parent KV head
  const int64_t head = plan_.before.head_dim * job.width;
  const int64_t begin = job.first / plan_.before.head_dim;
  const int64_t end = begin + job.count / plan_.before.head_dim;
  std::vector<double> block(static_cast<size_t>(head));
  for (int64_t query = begin; query < end; ++query) {
    const auto kv = static_cast<size_t>(query / readers);
    const int64_t old = transform.permutation[kv] * readers + query % readers;
    read(job, old * head, block);
    fold_.rows(transform.decode_key[kv], transform.logit_gain[static_cast<size_t>(query)], block,
               job.width);
    emit(job, block);
  }
}

void TensorWriter::fold_output(const Job& job) {
  const LayerTransform& transform = this->transform(job);
  const int64_t readers = plan_.before.group_size();
  const int64_t d = plan_.before.head_dim;
  const int64_t rows = job.count;
  const int64_t row_size = job.width;  // n_heads * head_dim
  const int64_t rows_at_once = std::max<int64_t>(1, kRowBlockBytes / 8 / row_size);
  std::vector<double> before;
  std::vector<double> after;
  for (int64_t row = 0; row < rows; row += rows_at_once) {
    const int64_t n = std::min(rows_at_once, rows - row);
    before.resize(static_cast<size_t>(n * row_size));
    after.resize(before.size());
    read(job, row * row_size, before);
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
    emit(job, after);
  }
}

}  // namespace regroup
