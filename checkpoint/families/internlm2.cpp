// InternLM2 and InternLM2.5: Llama's arithmetic under names of its own, with queries, keys and values in one tensor, KV head
// by KV head. Its class is the folder's own code.
#include "families/families.h"

namespace regroup {
namespace {

using enum Dim;

constexpr auto kTensors = std::to_array<TensorRule>({
    {"model.tok_embeddings.weight", {kVocab, kHidden}, Role::kEmbedding},
    {"model.layers.{}.attention_norm.weight", {kHidden, kNone}, Role::kInputNorm},
    {"model.layers.{}.attention.wqkv.weight",
     {kQkv, kHidden},
     Role::kQkv,
     Presence::kAlways,
     RowLayout::kGroups},
    {"model.layers.{}.attention.wqkv.bias",
     {kQkv, kNone},
     Role::kQkvBias,
     Presence::kQkvBias,
     RowLayout::kGroups},
    {"model.layers.{}.attention.wo.weight", {kHidden, kQuery}, Role::kOutput},
    {"model.layers.{}.attention.wo.bias",
     {kHidden, kNone},
     Role::kOutputBias,
     Presence::kOutputBias},
    {"model.layers.{}.ffn_norm.weight", {kHidden, kNone}, Role::kMlpNorm},
    {"model.layers.{}.feed_forward.w1.weight", {kIntermediate, kHidden}, Role::kGate},
    {"model.layers.{}.feed_forward.w3.weight", {kIntermediate, kHidden}, Role::kUp},
    {"model.layers.{}.feed_forward.w2.weight", {kHidden, kIntermediate}, Role::kDown},
    {"model.norm.weight", {kHidden, kNone}, Role::kFinalNorm},
    {"output.weight", {kVocab, kHidden}, Role::kLmHead, Presence::kUntied},
});

}  // namespace

const ModelFamily families::internlm2{.model_type = "internlm2",
                                      .architecture = "InternLM2ForCausalLM",
                                      .defaults = {.bos_token_id = 1, .eos_token_id = 2},
                                      .tensors = kTensors,
                                      .heads_fill_hidden = true,
                                      .qkv_bias = {.key = "bias", .otherwise = true},
                                      .output_bias = {.key = "bias", .otherwise = true},
                                      .ignored = families::kRotaryBuffer};

}  // namespace regroup
