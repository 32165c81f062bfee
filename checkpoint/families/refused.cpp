// Families that are known and refused: what regroup would have to respect first.
#include <algorithm>
#include <array>

#include "families/families.h"

namespace regroup {
namespace {

struct RefusedFamily {
  std::string_view model_type;
  std::string_view why;
};

constexpr std::string_view kAlibi =
    "its ALiBi slopes belong to head numbers, so heads may not change their order";
constexpr std::string_view kExperts = "its experts are of a kind that is not computed";
constexpr std::string_view kLatent = "it keeps a latent vector instead of keys and values";
constexpr std::string_view kLearned =
    "its positions are learned, and its class has no grouped-query attention";
constexpr std::string_view kOldFalcon =
    "it is Falcon under its first name, whose config.json has other keys; take the folder that "
    "says \"falcon\"";
constexpr std::string_view kNoClass = "its class has no grouped-query attention";

constexpr auto kRefused = std::to_array<RefusedFamily>({
    {"bloom", kAlibi},
    {"codegen", kNoClass},
    {"deepseek_v2", kLatent},
    {"deepseek_v3", kLatent},
    {"RefinedWeb", kOldFalcon},
    {"RefinedWebModel", kOldFalcon},
    {"gpt2", kLearned},
    {"gpt_oss", kExperts},
    {"gptj", kNoClass},
    {"granitemoe", kExperts},
    {"mpt", kAlibi},
    {"opt", kLearned},
    {"persimmon", kNoClass},
    {"t5", "it has an encoder, and relative positions that belong to head numbers"},
});

}  // namespace

std::string_view why_refused(std::string_view model_type) {
  const auto found = std::find_if(kRefused.begin(), kRefused.end(), [&](const RefusedFamily& f) {
    return f.model_type == model_type;
  });
  return found == kRefused.end() ? std::string_view() : found->why;
}

}  // namespace regroup
