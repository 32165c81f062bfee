// config.json of families whose queries, keys and values are one tensor: InternLM2, Falcon and Baichuan.
#include <gtest/gtest.h>

#include "checkpoint/config_text.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_heads.h"
#include "support/expect_error.h"
#include "written_family.h"

namespace regroup::testing {
namespace {

TEST(FusedConfig, ReadsInternLm2) {
  const std::string internlm2 =
      R"("model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"])";
  const ModelConfig plain = parse(with("{" + internlm2 + R"(, "num_key_value_heads": 8})"));
  EXPECT_EQ(plain.n_kv_heads, 8);
  EXPECT_TRUE(plain.qkv_bias && plain.output_bias);  // the class's default
  EXPECT_FALSE(plain.mlp_bias);
  const ModelConfig bare = parse(with("{" + internlm2 + R"(, "bias": false, "rms_norm_eps":
      "REMOVE", "rope_scaling": {"type": "dynamic", "factor": 2.0}})"));
  EXPECT_FALSE(bare.qkv_bias || bare.output_bias);
  EXPECT_EQ(bare.n_kv_heads, 32);  // absent: as many as query heads
  EXPECT_EQ(bare.norm_eps, 1e-6);
  EXPECT_EQ(bare.rope.kind, RopeKind::kDynamic);
}

/// A Falcon with 32 heads of 128, and `keys`.
std::string falcon_text(const std::string& keys) {
  return with(R"({"model_type": "falcon", "architectures": ["FalconForCausalLM"],
      "hidden_act": "REMOVE", "intermediate_size": "REMOVE", "max_position_embeddings": "REMOVE", )" +
              keys + "}");
}

TEST(FusedConfig, ReadsFalcon) {
  const ModelConfig grouped = parse(falcon_text(
      R"("new_decoder_architecture": true, "num_kv_heads": 8, "layer_norm_epsilon": 3e-5)"));
  EXPECT_EQ(grouped.n_kv_heads, 8);
  EXPECT_FALSE(grouped.multi_query || grouped.qkv_bias || grouped.mlp_bias);
  EXPECT_TRUE(grouped.parallel && grouped.own_mlp_norm);  // ln_attn and ln_mlp
  EXPECT_EQ(grouped.intermediate_size, 4 * 4096);
  EXPECT_EQ(grouped.max_positions, 2048);
  EXPECT_EQ(grouped.norm_eps, 3e-5);
  EXPECT_EQ(grouped.activation, Activation::kGelu);
  EXPECT_EQ(tensor_name(grouped, Role::kInputNorm, 1), "transformer.h.1.ln_attn.weight");
  EXPECT_EQ(tensor_name(grouped, Role::kMlpNormBias, 1), "transformer.h.1.ln_mlp.bias");
  const ModelConfig one = parse(falcon_text(R"("new_decoder_architecture": true,
      "num_ln_in_parallel_attn": 1, "ffn_hidden_size": 100, "bias": true, "multi_query": false)"));
  EXPECT_EQ(one.n_kv_heads, 32);
  EXPECT_FALSE(one.own_mlp_norm);
  EXPECT_EQ(one.intermediate_size, 100);
  EXPECT_TRUE(one.qkv_bias && one.output_bias && one.mlp_bias);
  EXPECT_EQ(tensor_name(one, Role::kInputNorm, 1), "transformer.h.1.input_layernorm.weight");
  EXPECT_EQ(tensor_name(one, Role::kMlpNorm, 1), "");
  // Falcon-7B, whose file says 71 of 71.
  const ModelConfig single = parse(falcon_text(R"("num_kv_heads": 32, "multi_query": true)"));
  EXPECT_TRUE(single.multi_query && single.parallel && !single.own_mlp_norm);
  EXPECT_EQ(single.n_kv_heads, 1);
  EXPECT_EQ(kv_head_choices(single), std::vector<int64_t>{1});
  EXPECT_TRUE(repeated_kv_head_choices(single).empty());
}

// The key that the class ignores stays as it was.
TEST(FusedConfig, OneHeadIsWrittenAsItWasRead) {
  const ModelFamily& falcon = *find_family("falcon");
  const std::string text = falcon_text(R"("num_kv_heads": 32)");
  EXPECT_EQ(rewrite_config(falcon, text, 1, "", "config.json"), text);
  const std::string grouped = falcon_text(R"("new_decoder_architecture": true)");
  const std::string after = rewrite_config(falcon, grouped, 4, "", "config.json");
  EXPECT_EQ(parse(after).n_kv_heads, 4);
  EXPECT_NE(after.find("\"num_kv_heads\": 4"), std::string::npos);
  EXPECT_EQ(after.find("num_key_value_heads"), std::string::npos);
}

TEST(FusedConfig, WhatOfFalconIsRefusedSaysWhyAndWhatToDo) {
  struct Refused {
    const char* keys;
    const char* message;
    const char* hint;
  };
  const Refused cases[] = {
      {R"("alibi": true, "multi_query": false)",
       "config.json: alibi must be false, found true: ALiBi adds a slope to scores that belongs to "
       "a head's number, which is not supported",
       "Falcon-RW cannot be converted; the other Falcons have RoPE"},
      {R"("multi_query": false)",
       "config.json: multi_query must be true, found false: each query head has a KV head of its "
       "own, and the class shares none, which is not supported",
       "Falcon's grouped-query models have new_decoder_architecture true"},
      {R"("parallel_attn": false)",
       "config.json: parallel_attn must be true, found false: attention and MLP stand one behind "
       "the other, which is not supported",
       "Falcon-7B, 11B, 40B and 180B have it true"},
      {R"("num_ln_in_parallel_attn": 2)",
       "config.json: num_ln_in_parallel_attn must be 1 where new_decoder_architecture is false, "
       "found 2: the class computes nothing else there",
       "take the value from the model's original config.json"},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.keys);
    const ErrorInfo error =
        expect_error<UnsupportedError>("CFG_UNSUPPORTED", [&] { parse(falcon_text(c.keys)); });
    EXPECT_EQ(error.message, c.message);
    EXPECT_EQ(error.hint, c.hint);
  }
}

/// A Baichuan-7B as it is published, and `keys`.
std::string baichuan_text(const std::string& keys) {
  return with(R"({"model_type": "baichuan", "architectures": ["BaiChuanForCausalLM"],
      "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaiChuanForCausalLM"})" +
              keys + "}");
}

TEST(FusedConfig, ReadsBaichuan) {
  const ModelConfig config = parse(baichuan_text(R"(, "max_position_embeddings": "REMOVE")"));
  EXPECT_EQ(config.n_kv_heads, 32);
  EXPECT_EQ(config.max_positions, 4096);
  EXPECT_FALSE(config.qkv_bias || config.output_bias || config.mlp_bias);
  const PartPlace values = *find_part(config, Role::kValue, 3);
  EXPECT_EQ(values.tensor, "model.layers.3.self_attn.W_pack.weight");
  EXPECT_EQ(values.rows.first, 2 * 4096);
}

TEST(FusedConfig, BaichuanIsWrittenAsLlama) {
  const auto converted = [](const std::string& text) {
    const std::string renamed = rename_class(parse(text), text, "config.json");
    return rewrite_config(*find_family("llama"), renamed, 8, "", "config.json");
  };
  const Json after = Json::parse(converted(baichuan_text("")));
  EXPECT_EQ(after["architectures"], Json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(after["model_type"], "llama");
  EXPECT_EQ(after["num_key_value_heads"], 8);
  EXPECT_FALSE(after.contains("auto_map"));
  EXPECT_EQ(after["rms_norm_eps"], 1e-5);
  // Its class's default is not Llama's.
  const std::string bare = baichuan_text(R"(, "max_position_embeddings": "REMOVE")");
  EXPECT_EQ(parse(converted(bare)).max_positions, 4096);
}

/// An InternLM-7B as it is published, and `keys`.
std::string internlm_text(const std::string& keys) {
  return with(R"({"model_type": "internlm", "architectures": ["InternLMForCausalLM"], "bias": true,
      "auto_map": {"AutoModelForCausalLM": "modeling_internlm.InternLMForCausalLM"},
      "rotary": {"base": 10000, "type": "dynamic"})" +
              keys + "}");
}

TEST(FusedConfig, InternlmIsWrittenAsLlama) {
  const ModelConfig config = parse(internlm_text(""));
  EXPECT_EQ(config.n_kv_heads, 32);
  EXPECT_TRUE(config.qkv_bias && config.output_bias && !config.mlp_bias);
  EXPECT_EQ(config.rope.kind, RopeKind::kDynamic);
  EXPECT_EQ(config.rope.factor, 1.0);
  EXPECT_EQ(config.rope.theta, 10000.0);
  const auto converted = [](const std::string& text) {
    const std::string renamed = rename_class(parse(text), text, "config.json");
    return rewrite_config(*find_family("llama"), renamed, 8, "", "config.json");
  };
  const Json after = Json::parse(converted(internlm_text("")));
  EXPECT_EQ(after["architectures"], Json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(after["attention_bias"], true);
  EXPECT_EQ(after["rope_scaling"], Json::parse(R"({"rope_type": "dynamic", "factor": 1.0})"));
  EXPECT_FALSE(after.contains("rotary") || after.contains("bias") || after.contains("auto_map"));
  const Json plain = Json::parse(
      converted(internlm_text(R"(, "bias": false, "rotary": {"base": 5000, "type": "origin"})")));
  EXPECT_EQ(plain["rope_theta"], 5000.0);
  EXPECT_FALSE(plain.contains("rope_scaling") || plain.value("attention_bias", false));
  const ErrorInfo error = expect_error<UnsupportedError>("CFG_UNSUPPORTED", [] {
    parse(internlm_text(R"(, "rotary": {"base": 5000, "type": "linear"})"));
  });
  EXPECT_EQ(error.message,
            "config.json: \"type\" of \"rotary\" must be origin or dynamic, found linear");
}

TEST(FusedConfig, TheOtherBaichuansAreRefusedByName) {
  const ErrorInfo error = expect_error<UnsupportedError>("CFG_UNSUPPORTED", [] {
    parse(baichuan_text(R"(, "architectures": ["BaichuanForCausalLM"])"));
  });
  EXPECT_EQ(error.message,
            "config.json: architectures must be [\"BaiChuanForCausalLM\"] for model_type "
            "\"baichuan\", found [\"BaichuanForCausalLM\"]: it is Baichuan-13B, whose ALiBi slopes "
            "belong to head numbers, or Baichuan2, whose class normalises the rows of lm_head when "
            "it loads them");
  EXPECT_EQ(
      error.hint,
      "Baichuan-7B can be converted. Baichuan2-7B can be too once it is saved as LlamaForCausalLM, "
      "with each row of lm_head divided by its norm");
}

}  // namespace
}  // namespace regroup::testing
