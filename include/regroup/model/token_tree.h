#pragma once

#include <cstdint>
#include <vector>

namespace regroup {

/// Tokens of several sequences side by side in one row; what sequences begin with alike stands there once.
struct TokenTree {
  /// A run of tokens that comes behind all tokens of its parent.
  struct Node {
    int64_t parent = -1;  ///< -1: sequences begin here
    int64_t first = 0;    ///< of its tokens in the row
    int64_t count = 0;    ///< of its tokens, at least 1
    int64_t past = 0;     ///< tokens of its sequences before it
  };
  /// Parents before their children, without gaps in the row.
  std::vector<Node> nodes;

  int64_t size() const { return nodes.empty() ? 0 : nodes.back().first + nodes.back().count; }
};

}  // namespace regroup
