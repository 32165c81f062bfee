#include "regroup/base/placeholder.h"

#include <array>

namespace regroup {

std::optional<Placeholder> find_placeholder(std::string_view start) {
  constexpr Placeholder kPointer = {"a Git LFS pointer",
                                    "run `git lfs pull` in the repository it came from"};
  constexpr Placeholder kPage = {"an HTML page", "the download failed; fetch the file again"};
  if (start.starts_with("version https://git-lfs")) return kPointer;
  for (const std::string_view page : {"<!DOCTYPE", "<!doctype", "<html", "<HTML"}) {
    if (start.starts_with(page)) return kPage;
  }
  return std::nullopt;
}

}  // namespace regroup
