// What a conversion asks of calibration, and which combinations are refused.
#include <fmt/format.h>

#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_heads.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/convert/convert_options.h"
#include "regroup/convert/legality.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const std::string& message, const std::string& hint) {
  throw ConfigError({.code = "METHOD_COMBINATION", .message = message, .hint = hint});
}

void check_saved_statistics(const ConvertOptions& options) {
  const std::string& path = options.calibration.save_statistics;
  if (path.empty()) return;
  std::vector<std::string> inputs = options.calibration.text_files();
  inputs.push_back(options.model);
  const std::string out = without_last_slash(options.out);
  if (out.empty() || (!is_inside(path, out) && !is_inside(path, out + ".partial"))) {
    return check_output_file(path, "`save-statistics`", inputs);
  }
  throw ConfigError({.code = "OUTPUT_PLACE",
                     .message = fmt::format("`save-statistics` must lie outside OUT ({}), which "
                                            "holds the model alone",
                                            printable(options.out)),
                     .path = path,
                     .hint = "choose a file beside OUT"});
}

void check_method(const ModelConfig& parent, const ConvertOptions& options) {
  const Grouping grouping = options.chosen_grouping();
  if (options.method == Method::kRandom) {
    refuse("`method` random draws new weights: it takes neither calibration nor a grouping",
           "leave out `calibration` and `grouping`, or choose another method");
  }
  if (options.method == Method::kPrune && grouping != Grouping::kContiguous) {
    refuse("`method` prune chooses its own groups: the heads it keeps", "leave out `grouping`");
  }
  if (const std::string why = why_illegal(options.method, grouping, parent); !why.empty()) {
    refuse(
        fmt::format("`method` {} with `grouping` {} is not exact for {}: {}",
                    method_name(options.method), grouping_name(grouping), parent.architecture, why),
        parent.attention.normalises_keys()
            ? "choose `method` pca, mean, first, medoid or weighted"
            : "choose `method` mean, first, medoid or weighted with `grouping` contiguous");
  }
  const std::string no_gain = why_no_logit_gain(parent);
  if (!no_gain.empty() && options.logit_gain == Gain::kOn) {
    refuse("`logit-gain` on " + no_gain, "leave out `logit-gain`");
  }
}

void check_calibration(const ModelConfig& parent, const ConvertOptions& options) {
  const CalibrationOptions& calibration = options.calibration;
  if (!calibration.files.empty() && !calibration.statistics.empty()) {
    refuse("`statistics` and `calibration` exclude each other: both say where moments come from",
           "leave out one of them");
  }
  if (calibration.files.empty() && !calibration.save_statistics.empty()) {
    refuse("`save-statistics` needs text to take them from", "give `calibration` FILE");
  }
  check_saved_statistics(options);
  if (!calibration.scratch.empty() && !is_folder(calibration.scratch)) {
    throw ConfigError(
        {.code = "OUTPUT_PARENT",
         .message = "`scratch` must be a folder",
         .path = calibration.scratch,
         .hint = "create the folder first, on a disk with space for the activations"});
  }
  if (calibration.seq_len == 1) {
    throw ConfigError({.code = "FLAG_VALUE",
                       .message =
                           "`calibration-seq-len` must be at least 2, found 1: a window of one "
                           "token predicts nothing",
                       .hint = "leave it out for 512"});
  }
  if (calibration.seq_len > longest_context(parent)) {
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("`calibration-seq-len` must be at most {}, the model's "
                                "longest context, found {}",
                                longest_context(parent), calibration.seq_len),
         .hint = "leave it out for the longest that is sensible"});
  }
}

}  // namespace

bool needs_transforms(const ModelConfig& parent, const ConvertOptions& options) {
  // As many heads, or each several times, are the same model: nothing to decide, nothing to train.
  if (options.n_kv_heads >= parent.n_kv_heads) return false;
  return reads_weights(options.method) || options.chosen_grouping() != Grouping::kContiguous ||
         !options.calibration.files.empty();
}

ConvertOptions options_for(const ModelConfig& parent, ConvertOptions asked) {
  require_kv_heads(parent, asked.n_kv_heads);
  check_method(parent, asked);
  check_calibration(parent, asked);
  if (!why_no_logit_gain(parent).empty()) asked.logit_gain = Gain::kOff;
  if (parent.family->block.place != NormPlace::kBefore) asked.calibration.refit_output = false;
  return asked;
}

}  // namespace regroup
