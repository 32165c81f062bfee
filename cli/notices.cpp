#include "notices.h"

#include <spdlog/spdlog.h>

namespace regroup {

void log_notices(const ModelFolder& folder) {
  for (const std::string& warning : folder.warnings()) spdlog::warn("{}", warning);
  for (const std::string& notice : folder.notices()) spdlog::info("{}", notice);
}

}  // namespace regroup
