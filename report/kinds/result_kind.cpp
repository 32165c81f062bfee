#include "kinds/result_kind.h"

namespace regroup {
namespace {

constexpr const ResultKind* kKinds[] = {
#define REGROUP_ENTRY(name) &kinds::name,
#include "regroup/report_kinds.inc"
#undef REGROUP_ENTRY
};

}  // namespace

std::span<const ResultKind* const> result_kinds() { return kKinds; }

}  // namespace regroup
