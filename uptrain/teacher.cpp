#include "teacher.h"

#include <ATen/ops/equal.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/path.h"
#include "regroup/model/load.h"

namespace regroup {
namespace {

[[noreturn]] void mismatch(const UptrainOptions& options, const std::string& message) {
  throw ConfigError({.code = "TEACHER_MISMATCH",
                     .message = message,
                     .path = options.teacher,
                     .hint = "name the model that " + options.model + " was converted from"});
}

/// Ids must mean the same to both.
void check_vocabulary(const UptrainOptions& options, const ModelConfig& teacher,
                      const ModelConfig& student) {
  if (teacher.vocab_size != student.vocab_size) {
    mismatch(options, fmt::format("the teacher must have the model's vocab_size {}, found {}",
                                  student.vocab_size, teacher.vocab_size));
  }
  for (const std::string name : {"tokenizer.model", "tokenizer.json"}) {
    const std::string theirs = options.teacher + "/" + name;
    const std::string ours = options.model + "/" + name;
    if (!path_exists(theirs) || !path_exists(ours)) continue;
    const std::string found = sha256_of_file(theirs);
    const std::string wanted = sha256_of_file(ours);
    if (found == wanted) return;
    mismatch(options, fmt::format("the teacher must have the model's {} (SHA-256 {}), "
                                  "found another one ({})",
                                  name, wanted, found));
  }
}

/// Every tensor that the decoder computes with, in an order of its own: the same place means the same
/// use in two decoders, up to the layers that only one has. May be undefined.
std::vector<at::Tensor*> slots(Decoder& decoder) {
  std::vector<at::Tensor*> all = {&decoder.embedding(), &decoder.final_norm().weight,
                                  &decoder.final_norm().bias, &decoder.untied_lm_head(),
                                  &decoder.lm_head_bias()};
  for (int64_t i = 0; i < decoder.config().n_layers; ++i) {
    const auto of_layer = layer_tensors(decoder.layer(i));
    all.insert(all.end(), of_layer.begin(), of_layer.end());
  }
  return all;
}

/// Frozen in the student, and the same bytes: 0 and -0 differ.
bool interchangeable(const at::Tensor& theirs, const at::Tensor& ours) {
  if (!theirs.defined() || !ours.defined() || ours.requires_grad()) return false;
  const at::ScalarType bits = ours.element_size() == 2 ? at::kShort : at::kInt;
  return theirs.sizes() == ours.sizes() && at::equal(theirs.view(bits), ours.view(bits));
}

}  // namespace

Teacher::Teacher(const UptrainOptions& options, const ModelConfig& student, at::Device device)
    : folder_(ModelFolder::open(options.teacher)),
      dtype_(options.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat),
      device_(device) {
  check_vocabulary(options, folder_.config(), student);
}

void Teacher::load() {
  decoder_ = std::make_unique<Decoder>(load_decoder(folder_, dtype_, device_));
  if (digest_.empty()) digest_ = model_digest(folder_);
  folder_.require_unchanged();
}

void Teacher::use_cache(const UptrainOptions& options, const Dataset& dataset, int64_t samples,
                        const std::function<void(const std::string&)>& announce, bool writes) {
  const int64_t vocab = config().vocab_size;
  digest_ = model_digest(folder_);
  const TeacherCacheKey key = {.teacher_sha256 = digest_,
                               .data = dataset.fingerprint(),
                               .seed = options.seed,
                               .seq_len = options.seq_len,
                               .vocab_size = vocab,
                               .top_k = std::min(top_k_of(options), vocab),
                               .temperature = mix_of(options).temperature,
                               .precision = name_of(options.precision),
                               .samples = samples};
  const std::string& folder = options.teacher_cache;
  try {
    cache_ = TeacherCache::find(folder, key);
  } catch (const ConfigError&) {
    if (!options.overwrite) throw;
  }
  if (cache_) return;
  if (!writes) {
    throw ConfigError({.code = "DATA_NOT_SHARED",
                       .message =
                           "must hold what the process of rank 0 has written of the teacher, "
                           "found nothing",
                       .path = folder,
                       .hint = "put `teacher-cache` where all processes see the same files"});
  }
  if (announce) {
    announce(fmt::format("teacher cache: writes {} to {}: {} samples of {} tokens, {} ids each",
                         human_bytes(key.bytes()), folder, samples, key.seq_len, key.top_k));
  }
  load();
  TeacherCache::write(folder, key, *decoder_, dataset, options.micro_batch_size, {});
  decoder_.reset();
  cache_ = TeacherCache::find(folder, key);
}

int64_t Teacher::share_frozen(Decoder& student) {
  if (!decoder_) return 0;
  const c10::NoGradGuard no_gradients;
  const std::vector<at::Tensor*> theirs = slots(*decoder_);
  const std::vector<at::Tensor*> ours = slots(student);
  for (size_t i = 0; i < std::min(theirs.size(), ours.size()); ++i) {
    if (!interchangeable(*theirs[i], *ours[i])) continue;
    *theirs[i] = *ours[i];
    shared_bytes_ += static_cast<int64_t>(ours[i]->nbytes());
  }
  return shared_bytes_;
}

int64_t Teacher::own_bytes() const {
  if (!decoder_) return 0;
  int64_t total = 0;
  for (const at::Tensor& t : decoder_->parameters()) total += static_cast<int64_t>(t.nbytes());
  return total - shared_bytes_;
}

TeacherSignal Teacher::signal(int64_t first_sample, const at::Tensor& ids) const {
  const c10::NoGradGuard no_gradients;
  if (cache_) return {{}, {}, cache_->read(first_sample, ids.size(0), device_)};
  return {decoder_->hidden(ids).flatten(0, 1), decoder_->lm_head(), {}};
}

}  // namespace regroup
