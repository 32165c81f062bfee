#include "request_batches.h"

#include <algorithm>
#include <set>

namespace regroup {
namespace {

constexpr int64_t kTokensAtOnce = 4096;
constexpr int64_t kLeastShared = 8;   // a shorter prefix is not worth a second step
constexpr int64_t kGroupsWanted = 8;  // in a batch, on average
constexpr int64_t kMostGranular = 8;
constexpr int64_t kBusyShare = 16;     // of the tokens fed at once
constexpr int64_t kSuffixShare = 5;    // a suffix may miss a fifth of the longest
constexpr int64_t kPaddedShare = 8;    // of a request's tokens one may be padding
constexpr int64_t kCopiesAtOnce = 16;  // tokens in caches, as a multiple of those fed at once

int64_t fed(const TokenRequest& request) { return static_cast<int64_t>(request.ids.size()) - 1; }

int64_t tokens_at_once(const RequestBatching& batching) {
  return batching.batch_tokens > 0 ? batching.batch_tokens : kTokensAtOnce;
}

/// Tokens that all requests of [first, first + count) are fed first.
int64_t common_prefix(const std::vector<TokenRequest>& requests, size_t first, size_t count) {
  const auto& ids = requests[first].ids;
  int64_t common = fed(requests[first]);
  for (size_t i = first + 1; i < first + count; ++i) {
    const auto& other = requests[i].ids;
    const int64_t n = std::min(common, fed(requests[i]));
    common = std::mismatch(ids.begin(), ids.begin() + n, other.begin()).first - ids.begin();
  }
  return common;
}

class Grouping {
 public:
  Grouping(const std::vector<TokenRequest>& requests, const ModelConfig& config,
           const RequestBatching& batching)
      : requests_(requests),
        config_(config),
        share_(batching.share_prefixes),
        at_once_(tokens_at_once(batching)) {}

  std::vector<RequestGroup> make() {
    for (size_t i = 0; i < requests_.size();) {
      size_t end = i + 1;
      while (end < requests_.size() && requests_[end].item == requests_[i].item) ++end;
      add(i, end - i);
      i = end;
    }
    return std::move(groups_);
  }

 private:
  bool turns_by_length(const TokenRequest& request) const {
    return config_.rope.turns_anew(1, fed(request)) ||
           config_.rope.depends_on_length(fed(request), config_.max_positions);
  }

  void add(size_t first, size_t count) {
    const bool turns =
        std::any_of(requests_.begin() + static_cast<int64_t>(first),
                    requests_.begin() + static_cast<int64_t>(first + count),
                    [this](const TokenRequest& request) { return turns_by_length(request); });
    const int64_t common =
        count > 1 && share_ && !turns ? common_prefix(requests_, first, count) : 0;
    if (common < kLeastShared) {
      for (size_t i = first; i < first + count; ++i) {
        groups_.push_back(
            {.first = i, .prefix = fed(requests_[i]), .alone = turns_by_length(requests_[i])});
      }
      return;
    }
    // What follows reads its own copy of the prefix: not too many of them.
    int64_t longest = 1;
    for (size_t i = first; i < first + count; ++i) longest = std::max(longest, fed(requests_[i]));
    const auto rows = static_cast<size_t>(std::max<int64_t>(1, kCopiesAtOnce * at_once_ / longest));
    for (size_t i = first; i < first + count; i += rows) {
      groups_.push_back({.first = i, .count = std::min(rows, first + count - i), .prefix = common});
    }
  }

  const std::vector<TokenRequest>& requests_;
  const ModelConfig& config_;
  const bool share_;
  const int64_t at_once_;
  std::vector<RequestGroup> groups_;
};

int64_t rounded(int64_t prefix, int64_t granule) { return prefix / granule * granule; }

/// Few groups have prefixes of the same length: cut to a multiple of a few tokens more of them do, and the tokens cut off
/// are fed with what follows.
int64_t choose_granule(const std::vector<RequestGroup>& groups) {
  int64_t granule = 1;
  for (; granule < kMostGranular; granule *= 2) {
    std::set<int64_t> lengths;
    int64_t shared = 0;
    for (const RequestGroup& group : groups) {
      if (group.count == 1) continue;
      lengths.insert(rounded(group.prefix, granule));
      ++shared;
    }
    if (shared >= kGroupsWanted * static_cast<int64_t>(lengths.size())) break;
  }
  return granule;
}

/// What a batch feeds and copies: prefixes, what follows them padded to the longest, and a cache for each of those.
class BatchSize {
 public:
  explicit BatchSize(int64_t at_once) : at_once_(at_once) {}

  void clear() { groups_ = rows_ = suffix_ = 0; }
  void add(const RequestGroup& group) {
    ++groups_;
    rows_ += static_cast<int64_t>(group.count);
    suffix_ = std::max(suffix_, group.suffix);
  }
  bool takes(const RequestBatch& batch, const RequestGroup& group) const {
    const RequestGroup& longest = batch.front();
    BatchSize larger = *this;
    larger.add(group);
    const int64_t fed = std::max(larger.groups_ * longest.prefix, larger.rows_ * larger.suffix_);
    const int64_t copied =
        larger.suffix_ > 0 ? larger.rows_ * (longest.prefix + larger.suffix_) : 0;
    if (longest.alone || group.alone || fed > at_once_ || copied > kCopiesAtOnce * at_once_) {
      return false;
    }
    // Beyond what keeps the processor busy, much shorter ones are fed apart and not padded.
    const bool busy = rows_ * suffix_ >= at_once_ / kBusyShare;
    if (busy && kSuffixShare * group.suffix < (kSuffixShare - 1) * suffix_) return false;
    // Requests without a suffix may be padded behind their end; a cache holds prefixes of one length.
    const bool padded =
        larger.suffix_ == 0 && longest.prefix - group.prefix <= longest.prefix / kPaddedShare;
    return padded || longest.prefix == group.prefix;
  }

 private:
  int64_t at_once_;
  int64_t groups_ = 0;
  int64_t rows_ = 0;
  int64_t suffix_ = 0;
};

}  // namespace

std::vector<RequestBatch> make_request_batches(const std::vector<TokenRequest>& requests,
                                               const ModelConfig& config,
                                               const RequestBatching& batching) {
  std::vector<RequestGroup> groups = Grouping(requests, config, batching).make();
  const int64_t granule = choose_granule(groups);
  for (RequestGroup& group : groups) {
    if (group.count > 1) group.prefix = rounded(group.prefix, granule);
    for (size_t i = group.first; i < group.first + group.count; ++i) {
      group.suffix = std::max(group.suffix, fed(requests[i]) - group.prefix);
    }
  }
  const auto longer = [&](const RequestGroup& a, const RequestGroup& b) {
    if (a.prefix != b.prefix) return a.prefix > b.prefix;
    if (a.suffix != b.suffix) return a.suffix > b.suffix;
    if (a.count != b.count) return a.count > b.count;
    return requests[a.first].ids < requests[b.first].ids;
  };
  std::stable_sort(groups.begin(), groups.end(), longer);
  std::vector<RequestBatch> batches;
  BatchSize size(tokens_at_once(batching));
  for (const RequestGroup& group : groups) {
    if (batches.empty() || !size.takes(batches.back(), group)) {
      batches.emplace_back();
      size.clear();
    }
    batches.back().push_back(group);
    size.add(group);
  }
  return batches;
}

}  // namespace regroup
