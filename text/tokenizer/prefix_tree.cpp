#include "prefix_tree.h"

namespace regroup {

void PrefixTree::add(std::string_view text, int32_t value) {
  int32_t at = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = child(at, byte);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      nodes_.emplace_back();
      Node& node = nodes_[static_cast<size_t>(at)];
      if (node.table < 0 && node.only < 0) {
        node.only = next;
        node.label = byte;
      } else {
        if (node.table < 0) {  // the second child
          node.table = static_cast<int32_t>(tables_.size() / 256);
          tables_.resize(tables_.size() + 256, -1);
          tables_[static_cast<size_t>(node.table) * 256 + node.label] = node.only;
        }
        tables_[static_cast<size_t>(node.table) * 256 + byte] = next;
      }
    }
    at = next;
  }
  nodes_[static_cast<size_t>(at)].value = value;
}

}  // namespace regroup
