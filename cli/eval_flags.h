#pragma once

#include <string>
#include <vector>

#include "command.h"
#include "regroup/tasks/probe.h"
#include "regroup/tasks/task.h"
#include "regroup/text/documents.h"
#include "regroup/text/token_file.h"

namespace regroup {

struct EvalFlags {
  std::vector<std::string> models;
  std::string baseline;
  std::vector<std::string> text;
  std::vector<std::string> tokens;
  TokenFormat token_format = TokenFormat::kAuto;
  DocumentOptions documents;
  std::string seq_len;
  std::string max_tokens;
  std::string dtype = "auto";
  std::string batch_size = "auto";
  std::vector<std::string> tasks;
  TaskOptions task_options;
  std::string samples;
  std::string harness_out;
  std::vector<std::string> probes;
  ProbeOptions probe_options;
  std::string out;
  std::string token_nll;
};

/// What can be said before any model is loaded.
void check_eval(const EvalFlags& flags, const Globals& globals);

}  // namespace regroup
