#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "fuzz/targets.h"
#include "regroup/base/error.h"
#include "regroup/text/tokenizer.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

constexpr size_t kMaxText = 64;  // long enough for every part, short enough for thousands a second

/// A folder whose tokenizer.json holds one input after another.
class TokenizerFolder {
 public:
  TokenizerFolder()
      : fd_(::open((folder_ / "tokenizer.json").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) {}
  const std::string& path() const { return folder_.path(); }
  void hold(std::string_view json) const {
    const bool held =
        fd_ >= 0 && ::ftruncate(fd_, 0) == 0 &&
        ::pwrite(fd_, json.data(), json.size(), 0) == static_cast<ssize_t>(json.size());
    if (!held) throw std::logic_error("cannot write tokenizer.json");
  }

 private:
  TemporaryFolder folder_;
  int fd_;
};

/// Encodes a text, decodes the ids and asks where each of them ends.
void use(const Tokenizer& tokenizer, std::string_view text) {
  try {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    tokenizer.decode(ids);
    const auto bytes = static_cast<int64_t>(text.size());
    for (size_t n = 0; n <= ids.size(); n += 1 + n / 4) {
      const int64_t prefix = tokenizer.prefix_bytes(text, n);
      if (prefix < 0 || prefix > bytes) throw std::logic_error("a prefix is longer than its text");
    }
  } catch (const Error&) {
  }
}

}  // namespace

int fuzz_tokenizer(const uint8_t* data, size_t size) {
  static const TokenizerFolder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\f'), size);
  std::string_view text = end < size ? input.substr(end + 1) : input;
  text.remove_prefix(text.size() - std::min(text.size(), kMaxText));
  folder.hold(input.substr(0, end));
  try {
    Tokenizer tokenizer = Tokenizer::open(folder.path());
    use(tokenizer, text);
    tokenizer.parse_special_tokens();
    use(tokenizer, text);
  } catch (const Error&) {
  }
  return 0;
}

}  // namespace regroup::testing
