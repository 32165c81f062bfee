#include "model_shards.h"

#include <strings.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace regroup {

std::vector<std::string> model_shards(const std::vector<std::string>& files,
                                      const WeightFormat& format) {
  std::vector<std::string> shards;
  const size_t start = std::strlen(format.start);
  std::copy_if(files.begin(), files.end(), std::back_inserter(shards),
               [&](const std::string& name) {
                 return ::strncasecmp(name.c_str(), format.start, start) == 0 &&
                        name.ends_with(format.ending);
               });
  return shards;
}

}  // namespace regroup
