#pragma once

#include <string>

#include "template_nodes.h"

namespace regroup::chat {

/// Parses the part of Jinja that chat templates are written in: text, {{ }}, if, for, set, macro, generation, break,
/// continue, and expressions with filters and tests.
/// @throws UnsupportedError TPL_UNSUPPORTED naming the line, also for what is nested too deep
Nodes parse_template(const std::string& source, const std::string& path);

}  // namespace regroup::chat
