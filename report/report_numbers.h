#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "regroup/results/damage.h"
#include "report_document.h"

namespace regroup {

// Numbers as the report writes them.

inline constexpr const char* kNothing = "–";
/// "1.428 ± 0.018": as many decimals as the standard error has two digits; without one, four digits.
std::string measured_text(const std::optional<Measured>& value, double factor = 1,
                          const char* unit = "");
/// The same as a cell: the standard error, "± 0.018", stands below.
Cell measured_cell(const std::optional<Measured>& value, double factor, const char* unit);
std::string short_number(double value);
/// "half the memory", "a quarter of the memory", "37.5 % of the memory".
std::string memory_share(int64_t part, int64_t whole);
/// 614400 -> "614,400".
std::string grouped_digits(int64_t value);
std::string heads_text(int64_t n_kv_heads);
/// A name, not longer than a sentence bears.
std::string shorten_name(const std::string& name);

}  // namespace regroup
