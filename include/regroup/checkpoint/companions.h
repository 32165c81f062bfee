#pragma once

#include <string>
#include <vector>

namespace regroup {

/// The tokenizer, chat-template and generation files that `model` has. They are copied byte for byte
/// into every folder made from it: nothing in them depends on the head count.
std::vector<std::string> companion_files(const std::string& model);

}  // namespace regroup
