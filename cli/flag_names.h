#pragma once

#include <string>
#include <string_view>

namespace regroup {

/// Rooms below the command line name a setting in backquotes; here it is a flag: "`seq-len` must ..." becomes
/// "--seq-len must ...". What is no single name, as "`regroup eval`", stays.
std::string with_flags(std::string_view text);

}  // namespace regroup
