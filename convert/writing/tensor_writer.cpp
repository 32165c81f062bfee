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

ReadHead TensorWriter::reads_head(const Job& job) {
  return [this, &job](int64_t head, std::span<double> block) {
    read(job, head * static_cast<int64_t>(block.size()), block);
  };
}

template <typename Make>
void TensorWriter::write_heads(const Job& job, const Make& make) {
  const int64_t d = plan_.before.head_dim;
  std::vector<double> block(static_cast<size_t>(d * job.width));
  for (int64_t head = job.first / d; head < (job.first + job.count) / d; ++head) {
    make(head, block);
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
  const KvSide side = is_key(job.part.role) ? KvSide::kKey : KvSide::kValue;
  write_heads(job, [&](int64_t group, std::span<double> merged) {
    fold_.merge(transform(job), side, group, job.width, reads_head(job), merged);
  });
}

void TensorWriter::merge_gains(const Job& job) {
  write_heads(job, [&](int64_t group, std::span<double> merged) {
    fold_.merge_gains(transform(job), group, reads_head(job), merged);
  });
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
  write_heads(job, [&](int64_t query, std::span<double> block) {
    fold_.query(transform(job), query, job.width, reads_head(job), block);
  });
}

void TensorWriter::fold_output(const Job& job) {
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
      fold_.output(transform(job), query,
                   {.in = before,
                    .out = after,
                    .rows = n,
                    .row_size = row_size,
                    .head_dim = d,
                    .from = fold_.old_query(transform(job), query) * d,
                    .to = query * d});
    }
    emit(job, after);
  }
}

}  // namespace regroup
