#include "text_files.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/text/text_source.h"

namespace regroup {
namespace {

constexpr size_t kBlock = size_t{4} << 20;

struct Found {
  bool separator = false;
  bool windows_line_ends = false;
};

Found look_for(const std::string& separator, const std::string& path) {
  Found found;
  try {
    TextSource source(path);
    std::string text;
    for (;;) {
      const size_t kept = std::min(text.size(), separator.size() - 1);
      text.erase(0, text.size() - kept);  // it may stand across two blocks
      text.resize(kept + kBlock);
      const size_t got = source.read(std::as_writable_bytes(std::span(text).subspan(kept)));
      text.resize(kept + got);
      if (got == 0) return found;
      found.separator = text.find(separator) != std::string::npos;
      found.windows_line_ends = found.windows_line_ends || text.find("\r\n") != std::string::npos;
      if (found.separator) return found;
    }
  } catch (const Error&) {
    return {.separator = true};  // who needs the file says what is wrong with it
  }
}

}  // namespace

void warn_if_separator_missing(const DocumentOptions& options,
                               const std::vector<std::string>& files) {
  const std::string& separator = options.separator;
  if (separator.empty()) return;
  std::vector<std::string> texts;
  std::copy_if(files.begin(), files.end(), std::back_inserter(texts),
               [](const std::string& path) { return without_compression(path).ends_with(".txt"); });
  bool windows_line_ends = false;
  for (const std::string& path : texts) {
    const Found found = look_for(separator, path);
    if (found.separator) return;
    windows_line_ends = windows_line_ends || found.windows_line_ends;
  }
  if (texts.empty()) return;
  const bool several = texts.size() > 1;
  const bool line_end = separator.find('\n') != std::string::npos;
  spdlog::warn("--document-separator {} does not occur in {}{}: {} read as one document{}",
               printable(typed_separator(separator)), printable(texts.front()),
               several ? fmt::format(", nor in {} more .txt", texts.size() - 1) : "",
               several ? "each is" : "it is",
               windows_line_ends && line_end ? "; its lines end with \\r\\n" : "");
}

}  // namespace regroup
