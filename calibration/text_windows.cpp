#include "text_windows.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace regroup {
namespace {

/// So many of `among`, evenly spaced.
std::vector<int64_t> evenly(const std::vector<int64_t>& among, int64_t count) {
  const auto n = static_cast<int64_t>(among.size());
  std::vector<int64_t> taken;
  for (int64_t i = 0; i < std::min(count, n); ++i) {
    taken.push_back(among[static_cast<size_t>((2 * i + 1) * n / (2 * std::min(count, n)))]);
  }
  return taken;
}

std::vector<int64_t> range(int64_t first, int64_t last) {
  std::vector<int64_t> all(static_cast<size_t>(last - first));
  std::iota(all.begin(), all.end(), first);
  return all;
}

/// How many windows each file gives: the same number where it has as many.
std::vector<int64_t> quotas(const std::vector<int64_t>& available, int64_t windows) {
  const std::vector<size_t> by_size = [&] {
    std::vector<size_t> order(available.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return available[a] < available[b]; });
    return order;
  }();
  std::vector<int64_t> quota(available.size());
  int64_t left = windows;
  auto files = static_cast<int64_t>(available.size());
  for (const size_t file : by_size) {
    quota[file] = std::min(available[file], left / files--);
    left -= quota[file];
  }
  return quota;
}

void append(std::vector<int64_t>& all, const std::vector<int64_t>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

TextWindows spread_windows(const std::vector<int64_t>& available, int64_t windows, int64_t held_out,
                           int64_t fresh) {
  const std::vector<int64_t> quota = quotas(available, windows);
  TextWindows chosen;
  std::vector<int64_t> unused;
  int64_t begin = 0;
  int64_t taken = 0;
  for (size_t file = 0; file < available.size(); ++file) {
    // Of the first n windows taken, n * held_out / windows are held out.
    const int64_t held = (taken + quota[file]) * held_out / windows - taken * held_out / windows;
    taken += quota[file];
    const int64_t end = begin + available[file];
    const int64_t kept_back =
        held == 0 ? 0 : (available[file] * held + quota[file] - 1) / quota[file];
    const std::vector<int64_t> front = range(begin, end - kept_back);
    const std::vector<int64_t> fitted = evenly(front, quota[file] - held);
    append(chosen.fitted, fitted);
    append(chosen.held_out, evenly(range(end - kept_back, end), held));
    std::set_difference(front.begin(), front.end(), fitted.begin(), fitted.end(),
                        std::back_inserter(unused));
    begin = end;
  }
  chosen.fresh = evenly(unused, fresh);
  return chosen;
}

}  // namespace regroup
