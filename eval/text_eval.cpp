#include "regroup/eval/text_eval.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/error.h"
#include "request_batches.h"

namespace regroup {
namespace {

constexpr int64_t kLogitsAtOnce = int64_t{64} << 20;  // elements of [tokens, vocab]

/// Windows of equal length, ready for the model.
struct Batch {
  int64_t first_window;
  at::Tensor inputs;   // [windows, length] int64
  at::Tensor targets;  // [windows, length]
};

Batch make_batch(const TokenStream& stream, int64_t first, int64_t count, int64_t length,
                 int64_t seq_len) {
  const auto* data = const_cast<int64_t*>(stream.ids.data()) + first * seq_len;
  const auto view = [&](int64_t shift) {
    return at::from_blob(const_cast<int64_t*>(data + shift), {count, length}, {seq_len, 1},
                         at::TensorOptions().dtype(at::kLong))
        .clone();
  };
  return {first, view(0), view(1)};
}

std::vector<Batch> make_batches(const TokenStream& stream, const WindowOptions& options) {
  const auto n = static_cast<int64_t>(stream.ids.size());
  const int64_t seq = options.seq_len;
  const int64_t full = (n - 1) / seq;
  const int64_t rest = (n - 1) % seq;
  const int64_t at_once = windows_at_once(options);
  std::vector<Batch> batches;
  for (int64_t first = 0; first < full; first += at_once) {
    batches.push_back(make_batch(stream, first, std::min(at_once, full - first), seq, seq));
  }
  if (rest > 0) batches.push_back(make_batch(stream, full, 1, rest, seq));
  return batches;
}

/// One model's view of a piece of a batch.
struct Piece {
  at::Tensor log_probs;  // [tokens, vocab] float32
  at::Tensor best;       // [tokens]
};

Piece score_piece(const Decoder& model, const at::Tensor& hidden) {
  Piece piece;
  piece.log_probs = at::log_softmax(model.logits(hidden).to(at::kFloat), -1);
  piece.best = at::argmax(piece.log_probs, -1);
  return piece;
}

/// -log of the right token's probability, [tokens] float32.
at::Tensor right_nll(const Piece& piece, const at::Tensor& targets) {
  return piece.log_probs.gather(1, targets.unsqueeze(1)).squeeze(1).neg();
}

/// Where the tokens of a piece belong.
struct Place {
  int64_t first_token;  ///< of the batch
  int64_t length;       ///< of the batch's windows
  int64_t first_window;
};

class Scorer {
 public:
  Scorer(const std::vector<const Decoder*>& models, int64_t baseline, bool keep_nll,
         int64_t seq_len, std::vector<TextScore>& scores)
      : models_(models), baseline_(baseline), keep_nll_(keep_nll), scores_(scores) {
    const std::vector<int64_t> edges = position_edges(seq_len);
    for (size_t band = 0; band + 1 < edges.size(); ++band) {
      band_.insert(band_.end(), static_cast<size_t>(edges[band + 1] - edges[band]), band);
    }
    for (TextScore& score : scores_) {
      score.positions.resize(edges.size() - 1);
      if (baseline < 0) continue;
      const size_t blocks = fidelity_blocks(static_cast<int64_t>(score.windows.size()));
      score.kl_blocks.resize(blocks);
      score.delta_p_blocks.resize(blocks);
    }
  }

  void run(const Batch& batch) {
    const int64_t length = batch.inputs.size(1);
    std::vector<at::Tensor> hidden;
    for (const Decoder* model : models_) {
      hidden.push_back(model->hidden(batch.inputs.to(model->device())).flatten(0, 1));
    }
    const at::Tensor targets = batch.targets.flatten();  // [tokens]
    const int64_t tokens = targets.size(0);
    const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / models_[0]->config().vocab_size);
    for (int64_t first = 0; first < tokens; first += piece) {
      const int64_t n = std::min(piece, tokens - first);
      Piece reference;
      if (baseline_ >= 0) {
        const auto b = static_cast<size_t>(baseline_);
        reference = score_piece(*models_[b], hidden[b].narrow(0, first, n));
      }
      for (size_t m = 0; m < models_.size(); ++m) {
        const bool is_reference = static_cast<int64_t>(m) == baseline_;
        const Piece own =
            is_reference ? reference : score_piece(*models_[m], hidden[m].narrow(0, first, n));
        add(own, reference, targets.narrow(0, first, n).to(models_[m]->device()),
            {first, length, batch.first_window}, scores_[m]);
      }
    }
    for (TextScore& score : scores_) {
      for (int64_t w = 0; w < batch.inputs.size(0); ++w) {
        score.windows[static_cast<size_t>(batch.first_window + w)].tokens = length;
      }
      for (int64_t i = 0; i < length; ++i) {
        score.positions[band_[static_cast<size_t>(i)]].tokens += batch.inputs.size(0);
      }
    }
  }

 private:
  /// To each token's window and band of positions.
  template <typename Sum>
  void add_tokens(const at::Tensor& values, const Place& place, TextScore& score,
                  Sum WindowScore::*sum) const {
    const at::Tensor host = values.to(at::kCPU, c10::CppTypeToScalarType<Sum>::value).contiguous();
    const Sum* p = host.data_ptr<Sum>();
    for (int64_t i = 0; i < host.numel(); ++i) {
      const int64_t token = place.first_token + i;
      score.windows[static_cast<size_t>(place.first_window + token / place.length)].*sum += p[i];
      score.positions[band_[static_cast<size_t>(token % place.length)]].*sum += p[i];
    }
  }

  void add(const Piece& own, const Piece& reference, const at::Tensor& targets, const Place& place,
           TextScore& score) const {
    const at::Tensor nll = right_nll(own, targets);
    add_tokens(nll, place, score, &WindowScore::nll);
    if (keep_nll_) {
      const at::Tensor host = nll.to(at::kCPU).contiguous();
      score.token_nll.insert(score.token_nll.end(), host.data_ptr<float>(),
                             host.data_ptr<float>() + host.numel());
    }
    if (baseline_ < 0) return;
    const at::Tensor before = right_nll(reference, targets);
    add_right_tokens(nll, before, place, score);
    add_distributions(own, reference, place, score);
  }

  /// How the right tokens' probabilities differ; nll of both models, [tokens] float32.
  void add_right_tokens(const at::Tensor& nll, const at::Tensor& before, const Place& place,
                        TextScore& score) const {
    const at::Tensor delta_p = nll.neg().exp().sub(before.neg().exp()).to(at::kCPU);
    const at::Tensor precise = nll.to(at::kDouble);
    add_tokens(delta_p, place, score, &WindowScore::delta_p);
    add_tokens(delta_p.to(at::kDouble).square(), place, score, &WindowScore::delta_p_squared);
    add_tokens(precise.square(), place, score, &WindowScore::nll_squared);
    add_tokens(precise.mul(before), place, score, &WindowScore::nll_product);
    count_tokens(delta_p, place, score, score.delta_p_blocks);
  }

  void add_distributions(const Piece& own, const Piece& reference, const Place& place,
                         TextScore& score) const {
    const at::Tensor kl = reference.log_probs.exp()
                              .mul(reference.log_probs.sub(own.log_probs))
                              .sum(-1, false, at::kDouble)  // [tokens]
                              .to(at::kCPU);
    add_tokens(kl, place, score, &WindowScore::kl);
    add_tokens(own.best.eq(reference.best), place, score, &WindowScore::agreed);
    count_tokens(kl, place, score, score.kl_blocks);
  }

  /// Each token in its window's block.
  static void count_tokens(const at::Tensor& values, const Place& place, const TextScore& score,
                           std::vector<Histogram>& blocks) {
    const at::Tensor host = values.to(at::kFloat).contiguous();
    const float* p = host.data_ptr<float>();
    const auto n_windows = static_cast<int64_t>(score.windows.size());
    for (int64_t i = 0; i < host.numel(); ++i) {
      const int64_t window = place.first_window + (place.first_token + i) / place.length;
      blocks[fidelity_block(window, n_windows)].add(p[i]);
    }
  }

  const std::vector<const Decoder*>& models_;
  int64_t baseline_;
  bool keep_nll_;
  std::vector<TextScore>& scores_;
  std::vector<size_t> band_;  // of each position
};

void require_finite(const std::vector<TextScore>& scores) {
  for (size_t m = 0; m < scores.size(); ++m) {
    for (size_t w = 0; w < scores[m].windows.size(); ++w) {
      if (std::isfinite(scores[m].windows[w].nll)) continue;
      throw CheckpointError(
          {.code = "VAL_NONFINITE",
           .message = fmt::format("model {} of {} gives no finite loss on window {}", m + 1,
                                  scores.size(), w),
           .hint = "compute in `dtype` f32; if that fails too, the weights are damaged"});
    }
  }
}

}  // namespace

int64_t windows_at_once(const WindowOptions& options) {
  if (options.batch_size > 0) return options.batch_size;
  return std::max<int64_t>(1, kTokensAtOnce / options.seq_len);
}

int64_t count_windows(int64_t n_tokens, int64_t seq_len) {
  return (n_tokens - 1 + seq_len - 1) / seq_len;
}

std::vector<TextScore> score_text(const std::vector<const Decoder*>& models, int64_t baseline,
                                  const TokenStream& stream, const WindowOptions& options,
                                  bool keep_nll,
                                  const std::function<void(int64_t, int64_t)>& progress,
                                  PartialScores start,
                                  const std::function<void(const PartialScores&)>& after_batch) {
  require_window(stream);
  const c10::InferenceMode no_gradients;
  const int64_t n_windows = count_windows(static_cast<int64_t>(stream.ids.size()), options.seq_len);
  PartialScores now = std::move(start);
  now.scores.resize(models.size());
  for (TextScore& score : now.scores) score.windows.resize(static_cast<size_t>(n_windows));
  Scorer scorer(models, baseline, keep_nll, options.seq_len, now.scores);
  for (const Batch& batch : make_batches(stream, options)) {
    if (batch.first_window < now.windows) continue;
    scorer.run(batch);
    now.windows += batch.inputs.size(0);
    if (progress) progress(now.windows, n_windows);
    if (after_batch) after_batch(now);
  }
  require_finite(now.scores);
  return std::move(now.scores);
}

}  // namespace regroup
