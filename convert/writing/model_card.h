#pragma once

#include <string>

#include "regroup/convert/convert_options.h"
#include "regroup/convert/plan.h"

namespace regroup {

inline constexpr const char* kModelCardName = "README.md";
/// Where the parent's own card goes: README-parent.md, or with a number where the parent has such a file itself.
std::string parent_card_name(const ConversionPlan& plan);

/// README.md of a converted model, as model hubs show it: what it was made of and how, the licence lines of the parent's
/// card, what is known of its quality, and what its KV cache costs.
/// @param parent_card  the parent's README.md, "" without one
std::string model_card(const ConversionPlan& plan, const ConvertOptions& options,
                       const std::string& parent_card);

}  // namespace regroup
