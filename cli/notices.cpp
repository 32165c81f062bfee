#include "notices.h"

#include <spdlog/spdlog.h>

#include "regroup/checkpoint/family.h"

namespace regroup {

void log_notices(const ModelFolder& folder) {
  for (const std::string& warning : folder.warnings()) spdlog::warn("{}", warning);
  for (const std::string& notice : folder.notices()) spdlog::info("{}", notice);
}

void warn_of_engines(const ModelConfig& after) {
  const std::string_view limit = serving_limit(after);
  if (!limit.empty()) spdlog::warn("{}: {}", after.architecture, limit);
}

}  // namespace regroup
