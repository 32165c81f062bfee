#include "separator.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <span>

#include "regroup/checkpoint/documents.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr int64_t kLookedAt = 64 << 20;

bool occurs(const std::string& separator, const std::string& path) {
  try {
    const InputFile file(path);
    std::string text(static_cast<size_t>(std::min(file.size(), kLookedAt)), '\0');
    file.read(0, std::as_writable_bytes(std::span(text)));
    return text.find(separator) != std::string::npos;
  } catch (const Error&) {
    return true;  // who needs the file says what is wrong with it
  }
}

}  // namespace

void warn_if_separator_missing(const std::string& flag, const std::vector<std::string>& files) {
  const std::string separator = parse_separator(flag);
  if (separator.empty()) return;
  const std::string* first = nullptr;
  for (const std::string& path : files) {
    if (!path.ends_with(".txt")) continue;
    if (occurs(separator, path)) return;
    if (first == nullptr) first = &path;
  }
  if (first == nullptr) return;
  spdlog::warn("--document-separator {} does not occur in {}{}: it is read as one document",
               printable(flag), printable(*first), files.size() > 1 ? " or any other" : "");
}

}  // namespace regroup
