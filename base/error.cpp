#include "regroup/base/error.h"

#include <fmt/format.h>

#include "regroup/base/printable.h"

namespace regroup {
namespace {

std::string sentence(const ErrorInfo& info) {
  std::string text;
  if (!info.path.empty()) text += printable(info.path) + ": ";
  if (!info.tensor.empty()) text += "tensor \"" + printable(info.tensor) + "\": ";
  return text + info.message;
}

}  // namespace

Error::Error(ExitCode exit_code, ErrorInfo info)
    : std::runtime_error(sentence(info)), exit_code_(exit_code), info_(std::move(info)) {}

void throw_all(const std::string& folder, const std::vector<ErrorInfo>& problems) {
  if (problems.empty()) return;
  if (problems.size() == 1) throw CheckpointError(problems.front());
  // A checkpoint of another size disagrees in every tensor; the first lines tell the story.
  constexpr size_t kMaxLines = 40;
  std::string lines;
  for (size_t i = 0; i < problems.size() && i < kMaxLines; ++i) {
    lines += fmt::format("\n  [{}] {}", problems[i].code, sentence(problems[i]));
    if (!problems[i].hint.empty()) lines += fmt::format(" ({})", problems[i].hint);
  }
  if (problems.size() > kMaxLines) {
    lines += fmt::format("\n  ... and {} more", problems.size() - kMaxLines);
  }
  throw CheckpointError({.code = problems.front().code,
                         .message = fmt::format("{} problems:{}", problems.size(), lines),
                         .path = folder,
                         .hint = problems.front().hint});
}

}  // namespace regroup
