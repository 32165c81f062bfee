#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "eval_flags.h"
#include "regroup/eval/results.h"
#include "regroup/model/decoder.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// A model of an evaluation.
struct EvalModel {
  EvaluatedModel info;
  at::ScalarType compute_dtype;
  bool listed = true;          ///< a baseline may only be a reference
  std::string tokenizer = {};  ///< what its ids follow from; "" where nothing is asked in words
};

/// The models of an evaluation, opened and checked. Weights are loaded while they are needed: of two models at most.
class EvalModels {
 public:
  EvalModels(const EvalFlags& flags, at::Device device);

  const std::vector<EvalModel>& all() const { return models_; }
  std::vector<EvaluatedModel> infos() const;
  std::vector<bool> listed() const;
  int64_t baseline() const { return baseline_; }  ///< index, or -1
  std::shared_ptr<const Decoder> decoder(size_t m);
  /// The model's tokenizer; notes what its ids follow from.
  Tokenizer open_tokenizer_of(size_t m, const EvalFlags& flags);

 private:
  void open(const std::string& path, const EvalFlags& flags);

  at::Device device_;
  std::vector<EvalModel> models_;
  int64_t baseline_ = -1;
  std::deque<std::pair<size_t, std::shared_ptr<const Decoder>>>
      held_;  // the one used last comes last
};

}  // namespace regroup
