#include "measure_quality.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "regroup/base/stop_signal.h"
#include "regroup/model/transfer.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr int64_t kLogitsAtOnce = int64_t{2} << 20;  // elements of [tokens, vocab]

int64_t tokens_at_once(const OutputHead& head) {
  return std::max<int64_t>(1, kLogitsAtOnce / head.lm_head.vocab_size());
}

/// Sums over the predicted tokens of a window, float64 [4]: the losses of parent and converted model, KL,
/// tokens whose likeliest next one is the same.
Tensor window_sums(const OutputHead& head, const Tensor& parent, const Tensor& converted,
                   const Tensor& targets) {
  const int64_t piece = tokens_at_once(head);
  Tensor sums;
  for (int64_t first = 0; first < targets.size(0); first += piece) {
    const int64_t n = std::min(piece, targets.size(0) - first);
    const auto log_probs = [&](const Tensor& hidden) {
      return at::log_softmax(head.lm_head.logits(hidden.narrow(0, first, n)), -1);
    };
    const Tensor p = log_probs(parent);  // [n, vocab]
    const Tensor q = log_probs(converted);
    const Tensor t = targets.narrow(0, first, n).unsqueeze(1);
    const Tensor part =
        at::stack({p.gather(1, t).sum(at::kDouble).neg(), q.gather(1, t).sum(at::kDouble).neg(),
                   p.exp().mul(p.sub(q)).sum(at::kDouble),
                   p.argmax(-1).eq(q.argmax(-1)).sum().to(at::kDouble)});
    sums = sums.defined() ? sums.add(part) : part;
  }
  return sums;
}

}  // namespace

HeldOutQuality measure_quality(const OutputHead& head, const Tensor& ids,
                               const HiddenSource& parent, const HiddenSource& converted) {
  const c10::NoGradGuard no_gradients;
  const int64_t predicted = ids.size(1) - 1;  // within the window, from the second token on
  std::vector<Tensor> scalars;
  for (int64_t window = 0; window < ids.size(0); ++window) {
    throw_if_stopped(/*resumable=*/true);
    const auto rows = [&](const HiddenSource& source) {
      return source(window, 1).squeeze(0).narrow(0, 0, predicted);
    };
    const Tensor targets =
        to_device(ids[window].narrow(0, 1, predicted), head.lm_head.weight.device());
    for (const Tensor& sum : window_sums(head, rows(parent), rows(converted), targets).unbind()) {
      scalars.push_back(sum);
    }
  }
  const std::vector<double> sums = read_scalars(scalars);  // the one wait
  HeldOutQuality quality;
  const auto per_window = static_cast<double>(predicted);
  const double all = per_window * static_cast<double>(ids.size(0));
  for (size_t i = 0; i + 3 < sums.size(); i += 4) {
    quality.parent_loss += sums[i] / all;
    quality.loss += sums[i + 1] / all;
    quality.kl += sums[i + 2] / all;
    quality.same_top1 += sums[i + 3] / all;
    quality.rises.push_back((sums[i + 1] - sums[i]) / per_window);
  }
  return quality;
}

FirstTokenQuality measure_first_tokens(const OutputHead& head, int64_t count,
                                       const HiddenSource& parent, const HiddenSource& converted) {
  const c10::NoGradGuard no_gradients;
  std::vector<Tensor> kls;
  for (int64_t first = 0; first < count; first += tokens_at_once(head)) {
    throw_if_stopped(/*resumable=*/true);
    const int64_t n = std::min(tokens_at_once(head), count - first);
    const auto log_probs = [&](const HiddenSource& source) {
      return at::log_softmax(head.lm_head.logits(source(first, n).squeeze(1)), -1);
    };
    const Tensor p = log_probs(parent);  // [n, vocab]
    kls.push_back(p.exp().mul(p.sub(log_probs(converted))).sum(-1, false, at::kDouble));
  }
  const Tensor all = at::cat(kls).cpu();
  const auto* values = all.data_ptr<double>();
  return first_token_quality({values, values + all.numel()});
}

}  // namespace regroup
