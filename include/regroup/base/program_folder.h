#pragma once

#include <string>

namespace regroup {

/// Where the running program's file is, whatever link it was called through, with a last slash. What is
/// loaded at run time lies beside it.
std::string program_folder();
/// That file itself.
std::string program_file();

}  // namespace regroup
