#include "request_batches.h"

#include <algorithm>
#include <compare>
#include <numeric>
#include <span>
#include <utility>

namespace regroup {
namespace {

using Ids = std::span<const int64_t>;

/// Tokens that a request feeds: all but its last.
Ids fed(const TokenRequest& request) { return Ids(request.ids).first(request.ids.size() - 1); }

int64_t size_of(Ids ids) { return static_cast<int64_t>(ids.size()); }

int64_t common_prefix(Ids a, Ids b) {
  const int64_t n = std::min(size_of(a), size_of(b));
  return std::mismatch(a.begin(), a.begin() + n, b.begin()).first - a.begin();
}

/// Requests of a batch, in the order of their tokens, as a tree.
class TreeMaker {
 public:
  TreeMaker(const std::vector<TokenRequest>& requests, std::vector<size_t> members) {
    batch_.ends.resize(members.size());
    for (const size_t member : members) fed_.push_back(fed(requests[member]));
    batch_.requests = std::move(members);
  }

  RequestBatch share() {
    add(0, fed_.size(), 0, -1);
    return std::move(batch_);
  }
  RequestBatch side_by_side() {
    for (size_t i = 0; i < fed_.size(); ++i) batch_.ends[i] = add_node(i, size_of(fed_[i]), 0, -1);
    return std::move(batch_);
  }

 private:
  /// What is behind the first `depth` tokens, which members [first, end) have in common.
  void add(size_t first, size_t end, int64_t depth, int64_t parent) {
    for (size_t i = first; i < end;) {
      if (size_of(fed_[i]) == depth) {
        batch_.ends[i++] = static_cast<size_t>(parent);
        continue;
      }
      const auto token = static_cast<size_t>(depth);
      size_t next = i + 1;
      while (next < end && fed_[next][token] == fed_[i][token]) ++next;
      const int64_t common = common_prefix(fed_[i], fed_[next - 1]);
      add(i, next, common, static_cast<int64_t>(add_node(i, common, depth, parent)));
      i = next;
    }
  }

  /// Tokens [depth, end) of member i.
  size_t add_node(size_t i, int64_t end, int64_t depth, int64_t parent) {
    batch_.tree.nodes.push_back({.parent = parent,
                                 .first = static_cast<int64_t>(batch_.ids.size()),
                                 .count = end - depth,
                                 .past = depth});
    batch_.ids.insert(batch_.ids.end(), fed_[i].begin() + depth, fed_[i].begin() + end);
    return batch_.tree.nodes.size() - 1;
  }

  std::vector<Ids> fed_;
  RequestBatch batch_;
};

bool turns_by_length(const TokenRequest& request, const ModelConfig& config) {
  const int64_t length = size_of(fed(request));
  return config.rope.turns_anew(1, length) ||
         config.rope.depends_on_length(length, config.max_positions);
}

}  // namespace

int64_t RequestBatch::row_of(size_t member, int64_t position) const {
  size_t node = ends[member];
  while (position < tree.nodes[node].past) node = static_cast<size_t>(tree.nodes[node].parent);
  return tree.nodes[node].first + position - tree.nodes[node].past;
}

std::vector<RequestBatch> make_request_batches(const std::vector<TokenRequest>& requests,
                                               const ModelConfig& config,
                                               const RequestBatching& batching) {
  const int64_t at_once = batching.batch_tokens > 0 ? batching.batch_tokens : kTokensAtOnce;
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const TokenRequest& left = requests[a];
    const TokenRequest& right = requests[b];
    const Ids x = fed(left);
    const Ids y = fed(right);
    const auto order_of_fed =
        std::lexicographical_compare_three_way(x.begin(), x.end(), y.begin(), y.end());
    if (order_of_fed != 0) return order_of_fed < 0;
    return std::pair(left.ids.back(), left.scored) < std::pair(right.ids.back(), right.scored);
  });
  std::vector<RequestBatch> batches;
  std::vector<size_t> members;
  int64_t tokens = 0;
  const auto close = [&] {
    if (members.empty()) return;
    TreeMaker maker(requests, std::exchange(members, {}));
    batches.push_back(batching.share_prefixes ? maker.share() : maker.side_by_side());
    tokens = 0;
  };
  for (const size_t i : order) {
    const Ids ids = fed(requests[i]);
    const bool alone = turns_by_length(requests[i], config);
    const auto added = [&] {
      const bool shares = batching.share_prefixes && !members.empty();
      return size_of(ids) - (shares ? common_prefix(fed(requests[members.back()]), ids) : 0);
    };
    // What shares a long beginning stays with it: fed again, it would cost more than it is too much.
    const auto room = [&] {
      if (members.empty() || !batching.share_prefixes) return at_once;
      return std::max(at_once, size_of(fed(requests[members.front()])) + at_once / 4);
    };
    const int64_t more = added();
    if (alone || (more > 0 && tokens + more > room())) close();
    tokens += added();
    members.push_back(i);
    if (alone) close();
  }
  close();
  return batches;
}

}  // namespace regroup
