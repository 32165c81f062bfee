#include "flag_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

std::string refused(const std::string& rule, const std::string& found) {
  if (found.starts_with("--")) {  // the value was left out, and the next flag taken for it
    return fmt::format("must be followed by its value, found {}", printable(found, 60));
  }
  return fmt::format("must be {}, found {}", rule,
                     found.empty() ? "nothing" : printable(found, 60));
}

/// The whole of `text` as a number; nothing if it is none, or one that T cannot hold.
template <typename T>
std::optional<T> parse(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// @param type  what --help shows as the type; "" to leave that to the option
template <typename T>
CLI::Validator in_range(T min, T max, const std::string& rule, const std::string& type) {
  return {[=](std::string& text) {
            const std::optional<T> value = parse<T>(text);
            const bool good = value && *value >= min && *value <= max;  // NaN is not
            return good ? std::string() : refused(rule, text);
          },
          type};
}

}  // namespace

CLI::Validator whole_number(int64_t min, int64_t max) {
  return in_range(min, max, fmt::format("a whole number from {} to {}", min, max),
                  fmt::format("[{} - {}]", min, max));
}

CLI::Validator whole_number() {
  using Limits = std::numeric_limits<int64_t>;
  return {[](std::string& text) {
            if (parse<int64_t>(text)) return std::string();
            const bool digits = text.find_first_not_of("+-0123456789") == std::string::npos;
            return refused(digits && !text.empty()
                               ? fmt::format("a whole number up to {}", Limits::max())
                               : "a whole number",
                           text);
          },
          ""};
}

CLI::Validator seed_number() {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  return in_range(uint64_t{0}, kMax, fmt::format("a whole number from 0 to {}", kMax), "");
}

CLI::Validator number(double min, double max) {
  return in_range(min, max, fmt::format("a number from {:g} to {:g}", min, max),
                  fmt::format("[{:g} - {:g}]", min, max));
}

CLI::Validator one_of(const std::vector<std::string>& all) {
  std::string rule = all.front();
  for (size_t i = 1; i < all.size(); ++i) {
    rule += (i + 1 == all.size() ? " or " : ", ") + all[i];
  }
  return {[=](std::string& text) {
            const bool good = std::find(all.begin(), all.end(), text) != all.end();
            return good ? std::string() : refused(rule, text);
          },
          words(all)};
}

std::string words(const std::vector<std::string>& all) { return "{" + join(all, ",") + "}"; }

}  // namespace regroup
