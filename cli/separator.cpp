#include "separator.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "regroup/checkpoint/documents.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr int64_t kBlock = 16 << 20;

bool occurs(const std::string& separator, const std::string& path) {
  try {
    const InputFile file(path);
    const auto overlap = static_cast<int64_t>(separator.size()) - 1;
    std::string text;
    for (int64_t at = 0; at < file.size(); at += kBlock) {
      text.resize(static_cast<size_t>(std::min(file.size() - at, kBlock + overlap)));
      file.read(at, std::as_writable_bytes(std::span(text)));
      if (text.find(separator) != std::string::npos) return true;
    }
    return false;
  } catch (const Error&) {
    return true;  // who needs the file says what is wrong with it
  }
}

}  // namespace

void warn_if_separator_missing(const std::string& flag, const std::vector<std::string>& files) {
  const std::string separator = parse_separator(flag);
  if (separator.empty()) return;
  std::vector<std::string> texts;
  std::copy_if(files.begin(), files.end(), std::back_inserter(texts),
               [](const std::string& path) { return path.ends_with(".txt"); });
  const auto has_it = [&](const std::string& path) { return occurs(separator, path); };
  if (texts.empty() || std::any_of(texts.begin(), texts.end(), has_it)) return;
  const bool several = texts.size() > 1;
  spdlog::warn("--document-separator {} does not occur in {}{}: {} read as one document",
               printable(flag), printable(texts.front()),
               several ? fmt::format(", nor in {} more .txt", texts.size() - 1) : "",
               several ? "each is" : "it is");
}

}  // namespace regroup
