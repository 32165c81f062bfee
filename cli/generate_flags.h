#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "command.h"

namespace regroup {

struct GenerateFlags {
  std::string model;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::vector<int32_t> prompt_ids;
  int64_t max_new_tokens = 128;
  double temperature = 0;
  double top_p = 1;
  std::string dtype = "auto";
  bool parse_special_tokens = false;
};

/// The text to be continued, "" where ids are given. @throws ConfigError FLAG_MISSING unless it is given exactly once
std::string prompt_text(const GenerateFlags& flags);

}  // namespace regroup
