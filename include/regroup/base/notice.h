#pragma once

#include <functional>
#include <string>

namespace regroup {

/// Tells the user something that ends nothing: library code does not print. Nobody listens until
/// set_notice_handler() is called, and a notice is told once.
void notice(const std::string& text);

/// The command line logs notices as warnings.
void set_notice_handler(std::function<void(const std::string&)> handler);

}  // namespace regroup
