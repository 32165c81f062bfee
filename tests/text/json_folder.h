#pragma once

#include <string>

#include "regroup/text/tokenizer.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer_json.h"

namespace regroup::testing {

/// A folder with this tokenizer.json and the given tokenizer_config.json ("": none).
class JsonFolder {
 public:
  explicit JsonFolder(const OrderedJson& json, const std::string& config = "") {
    folder_.write("tokenizer.json", json.dump());
    if (!config.empty()) folder_.write("tokenizer_config.json", config);
  }
  Tokenizer open() const { return Tokenizer::open(folder_.path()); }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

}  // namespace regroup::testing
