#include "regroup/model/text_loss.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace regroup {
namespace {

constexpr int64_t kLogitsAtOnce = int64_t{16} << 20;  // elements of [tokens, vocab]

}  // namespace

double sum_nll(const LmHead& lm_head, const at::Tensor& hidden, const at::Tensor& targets) {
  const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / lm_head.vocab_size());
  double sum = 0;
  for (int64_t first = 0; first < hidden.size(0); first += piece) {
    const int64_t n = std::min(piece, hidden.size(0) - first);
    const at::Tensor logits = lm_head.wide_logits(hidden.narrow(0, first, n));
    const at::Tensor picked =
        at::log_softmax(logits, -1).gather(1, targets.narrow(0, first, n).unsqueeze(1));  // [n, 1]
    sum -= picked.sum(at::kDouble).item<double>();
  }
  return sum;
}

double text_nats(const Decoder& decoder, const TokenStream& stream, int64_t seq_len,
                 int64_t windows_at_once, const TextShare& share,
                 const std::function<bool()>& go_on) {
  require_window(stream);
  const c10::NoGradGuard no_gradients;
  const auto predicted = static_cast<int64_t>(stream.ids.size()) - 1;
  const int64_t full = predicted / seq_len;
  double nll = 0;
  const auto score = [&](int64_t first, int64_t count, int64_t length) {
    const auto view = [&](int64_t shift) {
      auto* data = const_cast<int64_t*>(stream.ids.data()) + first * seq_len + shift;
      return at::from_blob(data, {count, length}, {seq_len, 1},
                           at::TensorOptions().dtype(at::kLong))
          .to(decoder.device(), at::kLong, /*non_blocking=*/false, /*copy=*/true);
    };
    nll += sum_nll(decoder.lm_head(), decoder.hidden(view(0)).flatten(0, 1), view(1).flatten());
  };
  int64_t batch = 0;
  const auto is_ours = [&] { return batch++ % share.size == share.rank; };
  for (int64_t first = 0; first < full; first += windows_at_once) {
    if (!is_ours()) continue;
    if (!go_on()) return nll;
    score(first, std::min(windows_at_once, full - first), seq_len);
  }
  if (predicted % seq_len > 0 && is_ours() && go_on()) {
    score(full, 1, predicted % seq_len);
  }
  return nll;
}

}  // namespace regroup
