#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace regroup {

/// Strings and their values, for finding those that a text begins with.
class PrefixTree {
 public:
  /// Puts in a string that is not empty; one that is there gets the new value.
  void add(std::string_view text, int32_t value);
  /// Calls `visit(length, value)` for each string that `text` begins with, the shortest first.
  template <typename Visit>
  void visit_prefixes(std::string_view text, const Visit& visit) const {
    int32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node < 0) return;
      const int32_t value = nodes_[static_cast<size_t>(node)].value;
      if (value >= 0) visit(i + 1, value);
    }
  }
  bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    int32_t value = -1;
    int32_t table = -1;  ///< of 256 children; -1: at most one child
    int32_t only = -1;   ///< the only child
    unsigned char label = 0;
  };
  int32_t child(int32_t node, unsigned char byte) const {
    const Node& n = nodes_[static_cast<size_t>(node)];
    if (n.table >= 0) return tables_[static_cast<size_t>(n.table) * 256 + byte];
    return n.only >= 0 && n.label == byte ? n.only : -1;
  }
  std::vector<Node> nodes_{1};
  std::vector<int32_t> tables_;
};

}  // namespace regroup
