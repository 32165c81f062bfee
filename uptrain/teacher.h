#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dataset.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/decoder.h"
#include "regroup/model/fused_loss.h"
#include "regroup/uptrain/options.h"
#include "teacher_cache.h"

namespace regroup {

/// The model that a run learns to agree with: frozen, in the run's dtype and on its device, or what a
/// cache holds of its answers.
class Teacher {
 public:
  /// Opens options.teacher and checks it against a student of options.model. Reads no weights.
  /// @throws ConfigError TEACHER_MISMATCH for another vocabulary or tokenizer than the student's
  /// @throws CheckpointError when the folder is no intact model
  Teacher(const UptrainOptions& options, const ModelConfig& student, at::Device device);

  const ModelConfig& config() const { return folder_.config(); }
  const std::vector<std::string>& warnings() const { return folder_.warnings(); }
  const std::string& digest() const { return digest_; }  ///< after load() or use_cache()

  /// Reads the weights, to be asked at every step.
  void load();
  const Decoder& decoder() const { return *decoder_; }  ///< after load()

  /// Instead of load(): answers come from options.teacher_cache, which is written first when it is
  /// empty (or, with options.overwrite, when it was made for something else).
  /// @param samples   of the whole run
  /// @param announce  told the size before anything is written
  /// @param writes    false: another process has written it
  /// @throws ConfigError TEACHER_CACHE_MISMATCH; DATA_NOT_SHARED where what another process has written is not seen
  void use_cache(const UptrainOptions& options, const Dataset& dataset, int64_t samples,
                 const std::function<void(const std::string&)>& announce, bool writes);
  const TeacherCache* cache() const { return cache_.get(); }

  /// Lets go of every tensor that is frozen in `student` and holds the same bytes there: from then on
  /// both compute with the student's. To be called once the tensors to train require a gradient.
  /// @return the bytes that are held once instead of twice
  int64_t share_frozen(Decoder& student);
  int64_t shared_bytes() const { return shared_bytes_; }
  /// Of the tensors that are the teacher's alone.
  int64_t own_bytes() const;

  /// @param first_sample  the sample of row 0   @param ids  [batch, seq] int64
  /// @return the teacher's side of the loss, batch * seq rows
  TeacherSignal signal(int64_t first_sample, const at::Tensor& ids) const;

 private:
  ModelFolder folder_;
  std::string digest_;
  at::ScalarType dtype_;
  at::Device device_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<TeacherCache> cache_;
  int64_t shared_bytes_ = 0;
};

}  // namespace regroup
