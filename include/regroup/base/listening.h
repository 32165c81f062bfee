#pragma once

#include <chrono>
#include <string>

namespace regroup {

/// Whether a program accepts TCP connections there.
/// @param patience  how long to wait for its answer
bool is_listening(const std::string& address, int port, std::chrono::milliseconds patience);

}  // namespace regroup
