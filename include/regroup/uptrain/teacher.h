#pragma once

#include <memory>
#include <string>

#include "regroup/model/decoder.h"
#include "regroup/uptrain/loss.h"
#include "regroup/uptrain/options.h"

namespace regroup {

/// The model that a run learns to agree with: frozen, in the run's dtype and on its device.
class Teacher {
 public:
  /// Opens and loads options.teacher for a student of options.model.
  /// @throws ConfigError TEACHER_MISMATCH for another vocabulary or tokenizer than the student's
  /// @throws CheckpointError when the folder is no intact model
  Teacher(const UptrainOptions& options, const ModelConfig& student, at::Device device);

  const ModelConfig& config() const { return decoder_->config(); }
  const std::string& digest() const { return digest_; }
  const Decoder& decoder() const { return *decoder_; }

  /// Lets go of every tensor that is frozen in `student` and holds the same bytes there: from then on
  /// both compute with the student's. To be called once the tensors to train require a gradient.
  /// @return the bytes that are held once instead of twice
  int64_t share_frozen(Decoder& student);
  int64_t shared_bytes() const { return shared_bytes_; }
  /// Of the tensors that are the teacher's alone.
  int64_t own_bytes() const;

  /// @param ids  [batch, seq] int64   @return the teacher's side of the loss, batch * seq rows
  TeacherSignal signal(const at::Tensor& ids) const;

 private:
  std::string digest_;
  std::unique_ptr<Decoder> decoder_;
  int64_t shared_bytes_ = 0;
};

}  // namespace regroup
