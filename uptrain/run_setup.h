#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "dataset.h"
#include "optimizer.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/model/decoder.h"
#include "regroup/model/processes.h"
#include "regroup/text/token_stream.h"
#include "regroup/uptrain/trainer.h"
#include "teacher.h"
#include "training_state.h"

namespace regroup {

/// Everything a run holds, with its options resolved, before the first step.
struct RunSetup {
  UptrainOptions options;
  Processes* processes = &single_process();
  FileDescriptor lock;  ///< of OUT, as long as the run lives; in the first process
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<Teacher> teacher;  ///< nullptr: next-token loss alone
  std::unique_ptr<Dataset> dataset;
  std::optional<TokenStream> validation;
  std::unique_ptr<AdamW> optimizer;
  std::unique_ptr<CheckpointStore> store;  ///< in the first process
  std::map<std::string, Dtype> dtypes;     ///< of the tensors as they are saved
  Schedule schedule;
  TrainingState state;  ///< fresh, or as the newest checkpoint has it
  RunFacts facts;
};

/// Checks the options, opens model and data, and finds the checkpoint to resume from.
RunSetup set_up_run(const UptrainOptions& options, const TrainObserver& observer,
                    Processes& processes);

}  // namespace regroup
