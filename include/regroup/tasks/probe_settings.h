#pragma once

#include "regroup/base/setting.h"
#include "regroup/tasks/probe.h"

namespace regroup {

/// How probes are made.
template <typename Visit>
void visit_settings(ProbeOptions& options, Visit&& visit) {
  visit({.name = "probe-trials",
         .help = "Questions a length and depth of each probe",
         .min = 2,
         .max = 100'000},
        options.trials);
  visit({.name = "probe-max-length",
         .help = "Longest context of a probe; left out: the model's own, at most 8192",
         .kind = Setting::Kind::kContext,
         .shows_default = false},
        options.max_length);
  visit({.name = "probe-text",
         .help = "Text file that needles are hidden in where RULER hides them in essays; left out: "
                 "sentences about nothing",
         .kind = Setting::Kind::kFilePath},
        options.text);
}

}  // namespace regroup
