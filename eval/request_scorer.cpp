#include "regroup/eval/request_scorer.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/logsumexp.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "regroup/base/error.h"
#include "regroup/checkpoint/mlp_sizes.h"
#include "regroup/model/layer_observer.h"
#include "request_batches.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr int64_t kLogitsAtOnce = int64_t{16} << 20;  // elements of [tokens, vocab]

Tensor index_tensor(const std::vector<int64_t>& values) {
  return at::from_blob(const_cast<int64_t*>(values.data()), {static_cast<int64_t>(values.size())},
                       at::TensorOptions().dtype(at::kLong))
      .clone();
}

/// Tokens that hidden states predict: which row, and which token.
struct Picks {
  std::vector<int64_t> rows;         ///< of the hidden states, each once
  std::map<int64_t, int64_t> place;  ///< of a row among `rows`
  std::vector<int64_t> at;           ///< [picks] index into `rows`
  std::vector<int64_t> targets;      ///< [picks]
  std::vector<size_t> requests;      ///< [picks]

  void add(int64_t row, int64_t target, size_t request) {
    const auto [found, is_new] = place.try_emplace(row, static_cast<int64_t>(rows.size()));
    if (is_new) rows.push_back(row);
    at.push_back(found->second);
    targets.push_back(target);
    requests.push_back(request);
  }
};

class Scorer {
 public:
  Scorer(const Decoder& model, const std::vector<TokenRequest>& requests,
         std::vector<RequestScore>& scores)
      : model_(model), requests_(requests), scores_(scores) {}

  void run(const RequestBatch& batch) {
    for (const size_t i : batch.requests) {
      scores_[i] = {.log_likelihood = 0, .greedy = true, .matched = 0};
    }
    Picks picks;
    for (size_t member = 0; member < batch.requests.size(); ++member) {
      const size_t i = batch.requests[member];
      const TokenRequest& request = requests_[i];
      const auto last = static_cast<int64_t>(request.ids.size()) - 1;
      for (int64_t j = last - request.scored; j < last; ++j) {
        picks.add(batch.row_of(member, j), request.ids[static_cast<size_t>(j + 1)], i);
      }
    }
    const Tensor ids = index_tensor(batch.ids).unsqueeze(0).to(model_.device());
    add(model_.hidden(ids, batch.tree), picks);
    for (const size_t i : batch.requests) require_finite(i);
  }

 private:
  /// @param hidden  [1, tokens, hidden]
  void add(const Tensor& hidden, const Picks& picks) {
    const Tensor flat = hidden.flatten(0, 1);
    const auto n_rows = static_cast<int64_t>(picks.rows.size());
    const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / model_.config().vocab_size);
    // Rows are in the order of their first pick, but picks of a row need not lie together.
    std::vector<std::vector<size_t>> by_piece(static_cast<size_t>((n_rows + piece - 1) / piece));
    for (size_t p = 0; p < picks.at.size(); ++p) {
      by_piece[static_cast<size_t>(picks.at[p] / piece)].push_back(p);
    }
    const Tensor rows = index_tensor(picks.rows).to(model_.device());
    for (int64_t first = 0; first < n_rows; first += piece) {
      const int64_t count = std::min(piece, n_rows - first);
      const Tensor logits =
          model_.logits(flat.index_select(0, rows.narrow(0, first, count))).to(at::kFloat);
      add_piece(logits, first, by_piece[static_cast<size_t>(first / piece)], picks);
    }
  }

  /// @param logits  [rows, vocab] of rows [first, first + rows) of the picks
  void add_piece(const Tensor& logits, int64_t first, const std::vector<size_t>& chosen,
                 const Picks& picks) {
    std::vector<int64_t> rows;
    std::vector<int64_t> targets;
    for (const size_t p : chosen) {
      rows.push_back(picks.at[p] - first);
      targets.push_back(picks.targets[p]);
    }
    const auto device = logits.device();
    const Tensor at_rows = index_tensor(rows).to(device);
    const Tensor flat = at_rows.mul(logits.size(1)).add(index_tensor(targets).to(device));
    const Tensor picked = logits.flatten().index_select(0, flat).to(at::kCPU, at::kDouble);
    const Tensor sums =
        at::logsumexp(logits, {1}).index_select(0, at_rows).to(at::kCPU, at::kDouble);
    const Tensor best = at::argmax(logits, 1).index_select(0, at_rows).to(at::kCPU);
    for (size_t k = 0; k < chosen.size(); ++k) {
      RequestScore& score = scores_[picks.requests[chosen[k]]];
      score.log_likelihood += picked.data_ptr<double>()[k] - sums.data_ptr<double>()[k];
      const bool likeliest = best.data_ptr<int64_t>()[k] == targets[k];
      score.greedy = score.greedy && likeliest;
      score.matched += likeliest ? 1 : 0;
    }
  }

  void require_finite(size_t request) const {
    if (std::isfinite(scores_[request].log_likelihood)) return;
    throw CheckpointError(
        {.code = "VAL_NONFINITE",
         .message = fmt::format("the model gives no finite log-likelihood for request {} of {}",
                                request + 1, requests_.size()),
         .hint = "compute in `dtype` f32; if that fails too, the weights are damaged"});
  }

  const Decoder& model_;
  const std::vector<TokenRequest>& requests_;
  std::vector<RequestScore>& scores_;
};

}  // namespace

RequestScore unscored() { return {.log_likelihood = std::numeric_limits<double>::quiet_NaN()}; }
bool is_scored(const RequestScore& score) { return !std::isnan(score.log_likelihood); }

namespace {

/// On a GPU what each token sees is a mask of all tokens by all tokens.
RequestBatching bounded(RequestBatching batching, at::Device device) {
  constexpr int64_t kMostMasked = 4096;
  if (!device.is_cpu()) batching.batch_tokens = std::min(batching.batch_tokens, kMostMasked);
  return batching;
}

/// Multiplications and additions.
struct BatchWork {
  double layer = 0;
  double head = 0;
};

BatchWork work_of(const RequestBatch& batch, const std::vector<TokenRequest>& requests,
                  const ModelConfig& config) {
  const auto embedding = static_cast<double>(config.vocab_size * config.hidden_size);
  const double weights = (static_cast<double>(active_parameters(config)) - embedding) /
                         static_cast<double>(config.n_layers);
  const auto a_key = 4.0 * static_cast<double>(config.query_size());
  BatchWork work;
  for (const auto& node : batch.tree.nodes) {
    const auto count = static_cast<double>(node.count);
    work.layer += count * (2 * weights + a_key * (static_cast<double>(node.past) + count / 2));
  }
  for (const size_t i : batch.requests) {
    work.head += 2 * embedding * static_cast<double>(requests[i].scored);
  }
  return work;
}

/// What is done of all batches that are not known yet.
class Course {
 public:
  Course(const Decoder& model, const std::vector<TokenRequest>& requests,
         const std::function<void(const RequestProgress&)>& tell)
      : model_(model), requests_(requests), tell_(tell) {}

  void expect(const RequestBatch& batch) {
    now_.all_tokens += static_cast<int64_t>(batch.ids.size());
    all_ += total(work_of(batch, requests_, model_.config()));
  }
  void known(const RequestBatch& batch) { now_.requests += size_of(batch); }

  template <typename Run>
  void through(const RequestBatch& batch, const Run& run) {
    const BatchWork work = work_of(batch, requests_, model_.config());
    const auto tokens = static_cast<int64_t>(batch.ids.size());
    const int64_t layers = model_.config().n_layers;
    const LayerObserver observer([&](int64_t layers_done) {
      RequestProgress within = now_;
      within.tokens += tokens * layers_done / layers;
      within.share = (done_ + work.layer * static_cast<double>(layers_done)) / all_;
      if (tell_) tell_(within);
    });
    run();
    done_ += total(work);
    now_.requests += size_of(batch);
    now_.tokens += tokens;
    now_.share = now_.tokens == now_.all_tokens ? 1 : done_ / all_;
    if (tell_) tell_(now_);
  }
  int64_t requests_done() const { return now_.requests; }

 private:
  double total(const BatchWork& work) const {
    return work.layer * static_cast<double>(model_.config().n_layers) + work.head;
  }
  static int64_t size_of(const RequestBatch& batch) {
    return static_cast<int64_t>(batch.requests.size());
  }

  const Decoder& model_;
  const std::vector<TokenRequest>& requests_;
  const std::function<void(const RequestProgress&)>& tell_;
  RequestProgress now_;
  double done_ = 0;
  double all_ = 0;
};

}  // namespace

int64_t tokens_at_once(const RequestBatching& batching, at::Device device) {
  const int64_t tokens = bounded(batching, device).batch_tokens;
  return tokens > 0 ? tokens : kTokensAtOnce;
}

void score_requests(const Decoder& model, const std::vector<TokenRequest>& requests,
                    const RequestBatching& batching, std::vector<RequestScore>& scores,
                    const std::function<void(int64_t done)>& after_batch,
                    const std::function<void(const RequestProgress&)>& progress) {
  const c10::InferenceMode no_gradients;
  if (scores.size() != requests.size()) scores.assign(requests.size(), unscored());
  const auto is_known = [&](const RequestBatch& batch) {
    return std::ranges::all_of(batch.requests, [&](size_t i) { return is_scored(scores[i]); });
  };
  Scorer scorer(model, requests, scores);
  const std::vector<RequestBatch> batches =
      make_request_batches(requests, model.config(), bounded(batching, model.device()));
  Course course(model, requests, progress);
  for (const RequestBatch& batch : batches) {
    if (!is_known(batch)) course.expect(batch);
  }
  for (const RequestBatch& batch : batches) {
    if (is_known(batch)) {
      course.known(batch);
      continue;
    }
    course.through(batch, [&] { scorer.run(batch); });
    if (after_batch) after_batch(course.requests_done());
  }
}

}  // namespace regroup
