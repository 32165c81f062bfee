// Forty problems that are one: "model.layers.{0-31}.mlp.up_proj.weight".
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "tensor_check.h"

namespace regroup {
namespace {

/// A name, parted at its first component that is a number.
struct LayeredName {
  std::string before;
  int64_t layer = -1;
  std::string after;
};

LayeredName part(const std::string& name) {
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    int64_t layer = 0;
    const char* begin = name.data() + dot + 1;
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), layer);
    const bool number =
        error == std::errc() && layer >= 0 && end != name.data() + name.size() && *end == '.';
    if (!number) continue;
    return {name.substr(0, dot + 1), layer, std::string(end, name.data() + name.size())};
  }
  return {name, -1, ""};
}

/// "0-3,7"
std::string runs(const std::set<int64_t>& numbers) {
  std::string text;
  for (auto it = numbers.begin(); it != numbers.end();) {
    const int64_t first = *it;
    int64_t last = first;
    while (++it != numbers.end() && *it == last + 1) last = *it;
    if (!text.empty()) text += ",";
    text += first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
  }
  return text;
}

/// Each pattern once, in the order of its first name.
std::vector<std::string> patterns(const std::vector<std::string>& names) {
  std::vector<LayeredName> kinds;
  std::vector<std::set<int64_t>> layers;
  for (const std::string& name : names) {
    LayeredName parted = part(name);
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const LayeredName& k) {
      return k.before == parted.before && k.after == parted.after;
    });
    const auto at = static_cast<size_t>(kind - kinds.begin());
    const int64_t layer = parted.layer;
    if (kind == kinds.end()) {
      kinds.push_back(std::move(parted));
      layers.emplace_back();
    }
    if (layer >= 0) layers[at].insert(layer);
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < kinds.size(); ++i) {
    const std::string number = layers[i].size() == 1 ? std::to_string(*layers[i].begin())
                                                     : fmt::format("{{{}}}", runs(layers[i]));
    texts.push_back(layers[i].empty() ? kinds[i].before
                                      : kinds[i].before + number + kinds[i].after);
  }
  return texts;
}

bool same_kind(const ErrorInfo& a, const ErrorInfo& b) {
  return a.code == b.code && a.message == b.message && a.path == b.path && a.hint == b.hint;
}

/// The one problem that stands for all with those names.
ErrorInfo merged(const ErrorInfo& first, const std::vector<std::string>& names) {
  constexpr size_t kShown = 8;
  if (names.size() == 1) return first;
  const std::vector<std::string> kinds = patterns(names);
  ErrorInfo one = first;
  one.tensor = kinds.front();
  if (kinds.size() == 1) return one;
  std::vector<std::string> others;
  for (size_t i = 1; i < std::min(kinds.size(), kShown); ++i) others.push_back(printable(kinds[i]));
  one.message += fmt::format(", and so of {}", join(others, ", "));
  if (kinds.size() > kShown) one.message += fmt::format(" and {} more", kinds.size() - kShown);
  return one;
}

}  // namespace

std::vector<ErrorInfo> group_problems(const std::vector<ErrorInfo>& problems) {
  std::vector<ErrorInfo> kinds;
  std::vector<std::vector<std::string>> names;
  for (const ErrorInfo& problem : problems) {
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const ErrorInfo& k) {
      return !problem.tensor.empty() && same_kind(k, problem);
    });
    const auto at = static_cast<size_t>(kind - kinds.begin());
    if (kind == kinds.end()) {
      kinds.push_back(problem);
      names.emplace_back();
    }
    names[at].push_back(problem.tensor);
  }
  std::vector<ErrorInfo> grouped;
  for (size_t i = 0; i < kinds.size(); ++i) grouped.push_back(merged(kinds[i], names[i]));
  return grouped;
}

}  // namespace regroup
