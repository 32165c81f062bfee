#pragma once

namespace regroup {

/// The style sheet of the HTML report. Colours are variables, so that charts follow the theme.
extern const char* const kReportStyle;

}  // namespace regroup
