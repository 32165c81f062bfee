#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "regroup/base/stop_signal.h"
#include "regroup/base/uniform_stream.h"
#include "regroup/model/generate.h"
#include "regroup/model/transfer.h"

namespace regroup {
namespace {

using at::Tensor;

/// One draw from each row's softmax by the number in [0, 1) that belongs to it. The device is not waited for.
/// @param logits  [texts, vocab]   @param uniform  [texts, 1] float64   @return [texts, 1] int64
Tensor draw_rows(const Tensor& logits, const Tensor& uniform) {
  const Tensor mass = at::softmax(logits, -1, at::kFloat).cumsum(-1, at::kDouble);
  const Tensor target = uniform.mul(mass.narrow(1, mass.size(1) - 1, 1));
  return at::searchsorted(mass, target, /*out_int32=*/false, /*right=*/true)
      .clamp_max(mass.size(1) - 1);
}

/// @param first  [texts, 1], on the device   @param uniform  [texts, seq_len - 1]
/// @param made   called with the length that the texts have
Tensor continued(const Decoder& decoder, const Tensor& first, const Tensor& uniform,
                 const std::function<void(int64_t length)>& made) {
  const int64_t texts = first.size(0);
  const int64_t seq_len = uniform.size(1) + 1;
  const ModelConfig& config = decoder.config();
  KvCache cache(config, texts, seq_len, decoder.dtype(), decoder.device());
  const Tensor ids = at::empty({texts, seq_len}, first.options());
  ids.narrow(1, 0, 1).copy_(first);
  for (int64_t at = 0; at + 1 < seq_len; ++at) {
    throw_if_stopped(/*resumable=*/false);
    const bool anew = config.rope.turns_anew(at, at + 1);
    if (anew) cache = KvCache(config, texts, seq_len, decoder.dtype(), decoder.device());
    const int64_t from = anew ? 0 : at;
    const Tensor hidden = decoder.hidden(ids.narrow(1, from, at + 1 - from), &cache);
    ids.narrow(1, at + 1, 1)
        .copy_(draw_rows(decoder.logits(hidden.select(1, -1)), uniform.narrow(1, at, 1)));
    made(at + 2);
  }
  return ids;
}

}  // namespace

Tensor sample_texts(const Decoder& decoder, const std::vector<int64_t>& first, int64_t seq_len,
                    int64_t at_once, uint64_t seed,
                    const std::function<void(int64_t tokens)>& made) {
  const c10::InferenceMode no_gradients;
  const auto count = static_cast<int64_t>(first.size());
  // Whole batches: the products of another number of rows round otherwise, and a text would depend on how many
  // there are.
  const int64_t padded = (count + at_once - 1) / at_once * at_once;
  const Tensor texts = at::zeros({padded, seq_len}, at::TensorOptions(at::kLong));
  const Tensor uniform = at::zeros({padded, seq_len - 1}, at::TensorOptions(at::kDouble));
  UniformStream random(seed, "own text");
  double* numbers = uniform.data_ptr<double>();
  for (int64_t i = 0; i < count * (seq_len - 1); ++i) numbers[i] = random.next();
  for (int64_t i = 0; i < count; ++i) texts[i][0] = first[static_cast<size_t>(i)];
  for (int64_t at = 0; at < count; at += at_once) {
    const Tensor part = texts.narrow(0, at, at_once);
    const auto report = [&](int64_t length) {
      if (made) made(at * seq_len + std::min(at_once, count - at) * length);
    };
    part.copy_(continued(decoder, to_device(part.narrow(1, 0, 1), decoder.device()),
                         to_device(uniform.narrow(0, at, at_once), decoder.device()), report));
  }
  return texts.narrow(0, 0, count).contiguous();
}

}  // namespace regroup
