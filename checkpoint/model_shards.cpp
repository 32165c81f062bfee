#include "model_shards.h"

#include <strings.h>

#include <algorithm>
#include <iterator>

namespace regroup {

std::vector<std::string> model_shards(const std::vector<std::string>& files) {
  std::vector<std::string> shards;
  std::copy_if(files.begin(), files.end(), std::back_inserter(shards), [](const std::string& name) {
    return ::strncasecmp(name.c_str(), "model", 5) == 0 && name.ends_with(".safetensors");
  });
  return shards;
}

}  // namespace regroup
