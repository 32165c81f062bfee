#include "regroup/base/notice.h"

#include <mutex>
#include <set>

namespace regroup {
namespace {

struct Notices {
  std::mutex mutex;
  std::set<std::string> told;
  std::function<void(const std::string&)> handler;
};

Notices& notices() {
  static Notices all;
  return all;
}

}  // namespace

void notice(const std::string& text) {
  Notices& all = notices();
  const std::lock_guard lock(all.mutex);
  if (all.handler && all.told.insert(text).second) all.handler(text);
}

void set_notice_handler(std::function<void(const std::string&)> handler) {
  Notices& all = notices();
  const std::lock_guard lock(all.mutex);
  all.handler = std::move(handler);
  all.told.clear();
}

}  // namespace regroup
