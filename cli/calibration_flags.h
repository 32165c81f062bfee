#pragma once

#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "regroup/convert/plan.h"
#include "regroup/text/documents.h"

namespace regroup {

/// How heads merge and what is measured on text: the flags that `convert` and `compare` share.
struct CalibrationFlags {
  std::string grouping;
  std::vector<std::string> calibration;
  std::string tokens;
  std::string seq_len;
  std::optional<int64_t> first_tokens;
  DocumentOptions documents;
  std::string layer_inputs = CalibrationOptions().sequential ? "converted" : "parent";
  std::string refit_output = CalibrationOptions().refit_output ? "on" : "off";
  std::string logit_gain = gain_name(ConvertOptions().logit_gain);
  std::string output_gain = gain_name(ConvertOptions().output_gain);
  std::optional<int64_t> layer_steps;
  std::string step_tokens;
  std::optional<int64_t> layer_batch;
  std::optional<double> layer_lr;
  std::optional<int64_t> distill_steps;
  std::optional<double> distill_lr;
  std::string budget;
  std::string pretraining_tokens;
  std::string scratch;
  std::string statistics;
};

/// Refuses `flag`, which means nothing without --calibration.
[[noreturn]] void refuse_without_calibration(const char* flag);

void add_calibration_flags(CLI::App& command, CalibrationFlags& flags);

/// Fills in everything about `method` that the flags decide.
/// @param other_text  the command reads text besides: --field and --document-separator may stand alone
/// @throws ConfigError FLAG_VALUE, FLAG_MISSING
void apply_calibration_flags(const CalibrationFlags& flags, const Globals& globals, bool other_text,
                             ConvertOptions& options);

}  // namespace regroup
