#include "eval_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "notices.h"
#include "regroup/base/stop_signal.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"

namespace regroup {
namespace {

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

}  // namespace

EvalModels::EvalModels(const EvalFlags& flags, at::Device device) : device_(device) {
  for (const std::string& path : flags.models) open(path, flags);
  for (size_t m = 0; m < models_.size() && !flags.baseline.empty(); ++m) {
    if (same_folder(models_[m].info.path, flags.baseline)) baseline_ = static_cast<int64_t>(m);
  }
  if (baseline_ < 0 && !flags.baseline.empty()) {
    open(flags.baseline, flags);
    models_.back().listed = false;
    baseline_ = static_cast<int64_t>(models_.size()) - 1;
  }
  if (baseline_ >= 0) models_[static_cast<size_t>(baseline_)].info.role = "baseline";
}

void EvalModels::open(const std::string& path, const EvalFlags& flags) {
  throw_if_stopped(/*resumable=*/false);
  const ModelFolder folder = ModelFolder::open(path);
  log_notices(folder);
  const Dtype stored = folder.dtype(folder.tensors().front().name);
  const at::ScalarType dtype = parse_compute_dtype(flags.dtype, device_, stored);
  const ModelOrigin origin = origin_of(path);
  models_.push_back({.info = {.path = path,
                              .role = origin.role,
                              .started_from = origin.started_from,
                              .config = folder.config(),
                              .dtype = compute_dtype_name(dtype),
                              .digest = model_digest(folder),
                              .stored_kv_bits = dtype_bits(stored)},
                     .compute_dtype = dtype});
}

std::vector<EvaluatedModel> EvalModels::infos() const {
  std::vector<EvaluatedModel> infos;
  for (const EvalModel& model : models_) infos.push_back(model.info);
  return infos;
}

std::vector<bool> EvalModels::listed() const {
  std::vector<bool> listed;
  for (const EvalModel& model : models_) listed.push_back(model.listed);
  return listed;
}

Tokenizer EvalModels::open_tokenizer_of(size_t m, const EvalFlags& flags) {
  EvaluatedModel& info = models_[m].info;
  DocumentOptions documents = flags.documents;
  // What a chat template puts around turns are tokens.
  documents.parse_special_tokens |= flags.task_options.apply_chat_template;
  Tokenizer tokenizer = open_tokenizer(info.path, info.config.vocab_size, documents);
  // The digest is that of the vocabulary; tokenizer_config.json decides what stands around a text.
  models_[m].tokenizer = fmt::format("{} {} {} {} {} {} {}", tokenizer.digest(), tokenizer.bos_id(),
                                     tokenizer.eos_id(), tokenizer.adds_bos(), tokenizer.adds_eos(),
                                     info.config.vocab_size, documents.parse_special_tokens);
  return tokenizer;
}

std::shared_ptr<const Decoder> EvalModels::decoder(size_t m) {
  const auto found =
      std::find_if(held_.begin(), held_.end(), [m](const auto& held) { return held.first == m; });
  if (found != held_.end()) {
    auto held = *found;
    held_.erase(found);
    held_.push_back(held);
    return held.second;
  }
  if (held_.size() == 2) held_.pop_front();
  const ModelFolder folder = ModelFolder::open(models_[m].info.path);
  held_.emplace_back(
      m, std::make_shared<const Decoder>(load_decoder(folder, models_[m].compute_dtype, device_)));
  return held_.back().second;
}

}  // namespace regroup
