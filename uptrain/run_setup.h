#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/token_stream.h"
#include "regroup/model/decoder.h"
#include "regroup/uptrain/dataset.h"
#include "regroup/uptrain/teacher.h"
#include "regroup/uptrain/trainer.h"
#include "regroup/uptrain/training_state.h"

namespace regroup {

/// Everything a run holds, with its options resolved, before the first step.
struct RunSetup {
  UptrainOptions options;
  FileDescriptor lock;  ///< of OUT, as long as the run lives
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<Teacher> teacher;  ///< nullptr: next-token loss alone
  std::unique_ptr<Dataset> dataset;
  std::optional<TokenStream> validation;
  std::unique_ptr<AdamW> optimizer;
  std::unique_ptr<CheckpointStore> store;
  std::map<std::string, Dtype> dtypes;  ///< of the tensors as they are saved
  Schedule schedule;
  TrainingState state;  ///< fresh, or as the newest checkpoint has it
  RunFacts facts;
};

/// Checks the options, opens model and data, and finds the checkpoint to resume from.
RunSetup set_up_run(const UptrainOptions& options, const TrainObserver& observer);

}  // namespace regroup
