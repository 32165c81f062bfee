#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"
#include "regroup/model/kv_cache.h"
#include "regroup/model/layer.h"
#include "regroup/model/lm_head.h"
#include "regroup/model/ops.h"
#include "regroup/model/token_tree.h"

namespace regroup {

/// A weight under its name in the checkpoint: a view of the tensor that the decoder computes with.
struct NamedWeight {
  std::string name;
  at::Tensor view;
  Role role;
  int64_t layer;  ///< -1 outside the layers
  std::vector<PartRows>
      parts;  ///< of several roles, which the view holds one below the other (as_stored)
};

/// A decoder-only transformer of the family's table: norms, rotary embedding, grouped-query attention (K and V are
/// never expanded to the query heads), an MLP, as its BlockSpec and AttentionTraits say.
class Decoder {
 public:
  /// Uninitialised weights of `config`.
  Decoder(ModelConfig config, at::ScalarType dtype, at::Device device);
  /// Another `config`, every tensor shared; who makes it replaces those that have another shape there.
  Decoder(ModelConfig config, const Decoder& shared);

  const ModelConfig& config() const { return config_; }
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }

  /// @param ids    [batch, seq] int64; [batch, 1] behind sequences of different lengths
  /// @param cache  past tokens, extended by these; nullptr: none
  /// @return       final hidden states after the last norm, times the constant of the logits, [batch, seq, hidden]
  at::Tensor hidden(const at::Tensor& ids, KvCache* cache = nullptr) const;
  /// The same of sequences that stand side by side: each token sees its own sequence alone. No gradients; positions
  /// are turned as in a sequence of the longest one's length.
  /// @param ids  [1, tree.size()] int64   @return  [1, tree.size(), hidden]
  at::Tensor hidden(const at::Tensor& ids, const TokenTree& tree) const;
  /// hidden [..., hidden] -> [..., vocab]
  at::Tensor logits(const at::Tensor& hidden) const;
  /// Its weight is the embedding itself when tied.
  LmHead lm_head() const;

  /// Every weight under its checkpoint name.
  std::vector<NamedWeight> named_weights() const;
  /// The tensors the decoder computes with (leaves for training), each once.
  std::vector<at::Tensor> parameters() const;
  LayerWeights& layer(int64_t index) { return layers_[static_cast<size_t>(index)]; }
  at::Tensor& embedding() { return embedding_; }
  NormWeights& final_norm() { return final_norm_; }
  at::Tensor& untied_lm_head() { return lm_head_; }     ///< undefined when tied
  at::Tensor& lm_head_bias() { return lm_head_bias_; }  ///< undefined in most families

  /// Recompute each layer's activations in the backward pass instead of keeping them.
  void set_activation_checkpointing(bool on) { checkpointing_ = on; }

 private:
  struct Step;  // what every layer of one forward pass shares
  at::Tensor run(const at::Tensor& ids, const Step& step) const;
  at::Tensor hidden_of_uneven(const at::Tensor& ids, KvCache& cache) const;
  at::Tensor attention(const LayerWeights& w, int64_t layer, const at::Tensor& y,
                       const Step& step) const;
  /// One layer: residual stream x and its norm y before, the same after.
  std::tuple<at::Tensor, at::Tensor> run_layer(int64_t layer, const at::Tensor& x,
                                               const at::Tensor& y, const Step& step) const;
  std::tuple<at::Tensor, at::Tensor> run_checkpointed(int64_t layer, const at::Tensor& x,
                                                      const at::Tensor& y, const Step& step) const;
  /// The same of given weights; `next` is the norm after the layer.
  std::tuple<at::Tensor, at::Tensor> layer_with(const LayerWeights& w, const NormWeights& next,
                                                int64_t layer, const at::Tensor& x,
                                                const at::Tensor& y, const Step& step) const;
  const NormWeights& norm_after(int64_t layer) const;
  RopeTables rope_tables(int64_t first, int64_t count) const;

  ModelConfig config_;
  at::ScalarType dtype_;
  at::Device device_;
  at::Tensor embedding_;  // [vocab, hidden]
  std::vector<LayerWeights> layers_;
  NormWeights final_norm_;
  at::Tensor lm_head_;       // [vocab, hidden], undefined when tied
  at::Tensor lm_head_bias_;  // [vocab] or undefined
  bool checkpointing_ = false;
  mutable RopeTables rope_cache_;  // positions [0, n)
};

}  // namespace regroup
