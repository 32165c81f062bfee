#include "teacher_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/topk.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "regroup/base/disk_space.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/words.h"
#include "regroup/model/tensor_bytes.h"
#include "regroup/model/transfer.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr const char* kFormat = "regroup-teacher-cache/1";
constexpr const char* kFile = "/teacher.safetensors";
constexpr int64_t kBlockBytes = 16 << 20;    // of one tensor, about
constexpr int64_t kLogitsAtOnce = 16 << 20;  // elements of [tokens, vocab]
constexpr int64_t kMaxNarrowIds = 1 << 16;

int64_t id_bytes(const TeacherCacheKey& key) { return key.vocab_size > kMaxNarrowIds ? 4 : 2; }

int64_t block_samples(const TeacherCacheKey& key) {
  return std::max<int64_t>(1, kBlockBytes / (key.seq_len * key.top_k * 4));
}

/// What must agree, as text.
std::map<std::string, std::string> fields_of(const TeacherCacheKey& key) {
  return {{"format", kFormat},
          {"teacher_sha256", key.teacher_sha256},
          {"data", key.data},
          {"seed", std::to_string(key.seed)},
          {"seq_len", std::to_string(key.seq_len)},
          {"vocab_size", std::to_string(key.vocab_size)},
          {"top_k", std::to_string(key.top_k)},
          {"temperature", fmt::format("{}", key.temperature)},
          {"precision", key.precision}};
}

/// The samples that the file says it holds; 0 for nonsense.
int64_t samples_of(const SafetensorsFile& file) {
  const auto& metadata = file.table().metadata;
  const auto it = metadata.find("samples");
  const Json number = it == metadata.end() ? Json() : Json::parse(it->second, nullptr, false);
  return number.is_number_integer() ? number.get<int64_t>() : 0;
}

std::string differences(const SafetensorsFile& file, const TeacherCacheKey& key) {
  std::vector<std::string> found;
  for (const auto& [name, wanted] : fields_of(key)) {
    const auto it = file.table().metadata.find(name);
    const std::string held = it == file.table().metadata.end() ? "absent" : it->second;
    if (held != wanted) {
      found.push_back(fmt::format("{} ({}, needed {})", name, printable(held, 80), wanted));
    }
  }
  const int64_t samples = samples_of(file);
  if (samples < key.samples) {
    found.push_back(fmt::format("samples ({}, needed {})", samples, key.samples));
  }
  return join(found, ", ");
}

std::string name_of(const char* what, int64_t block) { return fmt::format("{}.{}", what, block); }

std::vector<TensorSpec> specs_of(const TeacherCacheKey& key) {
  std::vector<TensorSpec> specs;
  const Dtype ids = id_bytes(key) == 2 ? Dtype::kU16 : Dtype::kI32;
  const int64_t block = block_samples(key);
  for (int64_t b = 0; b * block < key.samples; ++b) {
    const int64_t n = std::min(block, key.samples - b * block);
    specs.push_back({name_of("log_probs", b), Dtype::kF16, {n, key.seq_len, key.top_k}});
    specs.push_back({name_of("ids", b), ids, {n, key.seq_len, key.top_k}});
    specs.push_back({name_of("log_tail", b), Dtype::kF32, {n, key.seq_len}});
  }
  return specs;
}

/// ids int32 -> as they are stored.
void write_ids(OutputFile& file, const Tensor& ids, bool narrow) {
  if (!narrow) return file.write(bytes_of(ids));
  std::vector<uint16_t> small(static_cast<size_t>(ids.numel()));
  std::transform(ids.data_ptr<int32_t>(), ids.data_ptr<int32_t>() + ids.numel(), small.begin(),
                 [](int32_t id) { return static_cast<uint16_t>(id); });
  file.write(std::as_bytes(std::span(small)));
}

/// The teacher's answer for samples [first, first + count), rows on the CPU.
TopKLogProbs ask(const Decoder& teacher, const Dataset& dataset, const TeacherCacheKey& key,
                 int64_t first, int64_t count) {
  const Tensor ids =
      dataset.batch(first, count).narrow(1, 0, key.seq_len).contiguous().to(teacher.device());
  const Tensor hidden = teacher.hidden(ids).flatten(0, 1);  // [count seq, hidden]
  const int64_t rows = hidden.size(0);
  TopKLogProbs all = {at::empty({rows, key.top_k}, at::kInt), at::empty({rows, key.top_k}),
                      at::empty({rows})};
  const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / key.vocab_size);
  for (int64_t row = 0; row < rows; row += piece) {
    const int64_t n = std::min(piece, rows - row);
    const Tensor logits = teacher.logits(hidden.narrow(0, row, n)).to(at::kFloat);
    const TopKLogProbs part = top_k_log_probs(logits, key.top_k, key.temperature);
    all.ids.narrow(0, row, n).copy_(part.ids);
    all.log_probs.narrow(0, row, n).copy_(part.log_probs);
    all.log_tail.narrow(0, row, n).copy_(part.log_tail);
  }
  return all;
}

/// Removes an unfinished file however its making ends.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) { remove_tree(path_); }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() { std::remove(path_.c_str()); }  // gone already once it was renamed
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

int64_t TeacherCacheKey::bytes() const {
  return samples * seq_len * (top_k * (2 + id_bytes(*this)) + 4);
}

TopKLogProbs top_k_log_probs(const Tensor& logits, int64_t k, double temperature) {
  const Tensor log_p = at::log_softmax(logits.div(temperature), 1);
  const auto [top, ids] = at::topk(log_p, k, 1);
  // Summed, not 1 minus a sum: a small rest would drown in the rounding.
  const Tensor rest =
      at::logsumexp(at::scatter(log_p, 1, ids, -std::numeric_limits<float>::infinity()), 1);
  return {ids.to(at::kInt), top, rest};
}

std::unique_ptr<TeacherCache> TeacherCache::find(const std::string& folder,
                                                 const TeacherCacheKey& key) {
  const std::string path = folder + kFile;
  if (!path_exists(path)) return nullptr;
  SafetensorsFile file{InputFile(path)};
  const std::string differing = differences(file, key);
  if (!differing.empty()) {
    throw ConfigError({.code = "TEACHER_CACHE_MISMATCH",
                       .message = fmt::format("was made for another run: {}", differing),
                       .path = path,
                       .hint = "name another folder, or give `overwrite` to make it anew"});
  }
  std::unique_ptr<TeacherCache> cache(new TeacherCache(std::move(file)));
  cache->key_ = key;
  cache->key_.samples = samples_of(cache->file_);
  cache->block_ = block_samples(key);
  for (const TensorSpec& spec : specs_of(cache->key_)) {
    const TensorInfo* info = cache->file_.find(spec.name);
    if (info != nullptr && info->dtype == spec.dtype && info->shape == spec.shape) continue;
    throw CheckpointError({.code = "TEACHER_CACHE_CORRUPT",
                           .message = "a tensor that the metadata promises is missing or has "
                                      "another shape",
                           .path = path,
                           .tensor = spec.name,
                           .hint = "remove the file; it is made anew"});
  }
  return cache;
}

void TeacherCache::write(const std::string& folder, const TeacherCacheKey& key,
                         const Decoder& teacher, const Dataset& dataset, int64_t batch,
                         const std::function<void(int64_t)>& progress) {
  const c10::NoGradGuard no_gradients;
  require_free_space(folder, key.bytes());
  make_folder(folder);
  const FileDescriptor lock = lock_folder(folder);
  std::map<std::string, std::string> metadata = fields_of(key);
  metadata["samples"] = std::to_string(key.samples);
  const std::string prefix = make_safetensors_prefix(specs_of(key), metadata);
  const Unfinished unfinished(folder + kFile + ".partial");
  OutputFile file(unfinished.path(), static_cast<int64_t>(prefix.size()) + key.bytes());
  file.write(prefix);
  const int64_t block = block_samples(key);
  for (int64_t first = 0; first < key.samples; first += block) {
    const int64_t n = std::min(block, key.samples - first);
    const int64_t rows = n * key.seq_len;
    const TopKLogProbs all = {at::empty({rows, key.top_k}, at::kInt), at::empty({rows, key.top_k}),
                              at::empty({rows})};
    for (int64_t done = 0; done < n; done += batch) {
      const int64_t count = std::min(batch, n - done);
      const TopKLogProbs part = ask(teacher, dataset, key, first + done, count);
      const int64_t row = done * key.seq_len;
      all.ids.narrow(0, row, part.ids.size(0)).copy_(part.ids);
      all.log_probs.narrow(0, row, part.ids.size(0)).copy_(part.log_probs);
      all.log_tail.narrow(0, row, part.ids.size(0)).copy_(part.log_tail);
      throw_if_stopped(/*resumable=*/false);
      if (progress) progress(first + done + count);
    }
    file.write(bytes_of(all.log_probs.to(at::kHalf)));
    write_ids(file, all.ids, id_bytes(key) == 2);
    file.write(bytes_of(all.log_tail));
  }
  file.sync_and_close();
  rename_path(unfinished.path(), folder + kFile, /*replace=*/true);
  sync_folder(folder);
}

void TeacherCache::read_sample(int64_t sample, int64_t row, const TopKLogProbs& into) const {
  const int64_t block = sample / block_;
  const int64_t values = key_.seq_len * key_.top_k;
  const auto read = [&](const char* what, int64_t bytes, void* out) {
    file_.read(*file_.find(name_of(what, block)), sample % block_ * bytes,
               {static_cast<std::byte*>(out), static_cast<size_t>(bytes)});
  };
  std::vector<uint16_t> small(static_cast<size_t>(values));
  read("log_probs", values * 2, small.data());
  float* log_probs = into.log_probs.data_ptr<float>() + row * key_.top_k;
  std::transform(small.begin(), small.end(), log_probs, from_f16);
  int32_t* ids = into.ids.data_ptr<int32_t>() + row * key_.top_k;
  if (id_bytes(key_) == 2) {
    read("ids", values * 2, small.data());
    std::copy(small.begin(), small.end(), ids);
  } else {
    read("ids", values * 4, ids);
  }
  read("log_tail", key_.seq_len * 4, into.log_tail.data_ptr<float>() + row);
}

TopKLogProbs TeacherCache::read(int64_t first, int64_t count, at::Device device) const {
  const int64_t rows = count * key_.seq_len;
  const TopKLogProbs all = {at::empty({rows, key_.top_k}, at::kInt), at::empty({rows, key_.top_k}),
                            at::empty({rows})};
  for (int64_t i = 0; i < count; ++i) read_sample(first + i, i * key_.seq_len, all);
  const auto low = all.ids.min().item<int32_t>();
  const auto high = all.ids.max().item<int32_t>();
  if (low < 0 || high >= key_.vocab_size) {
    throw CheckpointError({.code = "TEACHER_CACHE_CORRUPT",
                           .message = fmt::format("ids must be below {}, found {}", key_.vocab_size,
                                                  low < 0 ? low : high),
                           .path = file_.path(),
                           .hint = "remove the file; it is made anew"});
  }
  const Tensor log_total =
      at::logaddexp(at::logsumexp(all.log_probs, 1), all.log_tail);  // 0 but for the rounding
  return {to_device(all.ids, device), to_device(all.log_probs.sub(log_total.unsqueeze(1)), device),
          to_device(all.log_tail.sub(log_total), device)};
}

}  // namespace regroup
