#pragma once

namespace regroup {

/// The file that marks a folder as one that regroup made.
inline constexpr const char* kManifestName = "regroup.json";

}  // namespace regroup
