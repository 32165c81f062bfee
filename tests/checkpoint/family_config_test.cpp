// Families that are not Llama: keys, defaults and refusals of their config.json, and what folders hold besides.
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/config_text.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/model_folder.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

TEST(FamilyConfig, ReadsMistral) {
  const std::string mistral =
      R"("model_type": "mistral", "architectures": ["MistralForCausalLM"], "num_hidden_layers": 3)";
  const ModelConfig plain = parse(with("{" + mistral + R"(, "attention_bias": true})"));
  EXPECT_EQ(plain.n_kv_heads, 8);                     // the family's default
  EXPECT_FALSE(plain.qkv_bias || plain.output_bias);  // the family has none, whatever the file says
  EXPECT_EQ(plain.sliding_window, 4096);              // likewise
  EXPECT_EQ(plain.sliding_layers, (std::vector<bool>{true, true, true}));
  const ModelConfig full = parse(with("{" + mistral + R"(, "sliding_window": null})"));
  EXPECT_EQ(full.sliding_layers, (std::vector<bool>{false, false, false}));
  const ModelConfig window = parse(with("{" + mistral + R"(, "sliding_window": 64})"));
  EXPECT_EQ(window.sliding_window, 64);
  EXPECT_EQ(window.sliding_layers, (std::vector<bool>{true, true, true}));
  EXPECT_EQ(parse(with("{" + mistral + R"(, "num_key_value_heads": null})")).n_kv_heads, 32);
  const ModelConfig mixed = parse(with("{" + mistral + R"(, "sliding_window": 4096, "layer_types":
      ["full_attention", "sliding_attention", "full_attention"]})"));
  EXPECT_EQ(mixed.sliding_layers, (std::vector<bool>{false, true, false}));
  // Llama has no window: the key means nothing there.
  EXPECT_FALSE(parse(with(R"({"sliding_window": 4096})")).sliding_window.has_value());
}

TEST(FamilyConfig, ReadsQwen2) {
  const std::string qwen2 =
      R"("model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 3)";
  const ModelConfig plain =
      parse(with("{" + qwen2 +
                 R"(, "sliding_window": 32768, "max_window_layers": 1, "attention_bias": false})"));
  EXPECT_EQ(plain.n_kv_heads, 32);  // the family's default
  EXPECT_TRUE(plain.qkv_bias);      // whatever the file says
  EXPECT_FALSE(plain.output_bias || plain.mlp_bias);
  EXPECT_FALSE(plain.sliding_window.has_value());  // use_sliding_window is not there
  const ModelConfig window = parse(with("{" + qwen2 + R"(, "use_sliding_window": true,
      "sliding_window": 4096, "max_window_layers": 1})"));
  EXPECT_EQ(window.sliding_window, 4096);
  EXPECT_EQ(window.sliding_layers, (std::vector<bool>{false, true, true}));
  const ModelConfig few = parse(with("{" + qwen2 + R"(, "use_sliding_window": true})"));
  EXPECT_EQ(few.sliding_window, 4096);                                      // the class's default
  EXPECT_EQ(few.sliding_layers, (std::vector<bool>{false, false, false}));  // from 28 on
  const ModelConfig none =
      parse(with("{" + qwen2 + R"(, "use_sliding_window": true, "sliding_window": null})"));
  EXPECT_FALSE(none.sliding_window.has_value());
  const ModelConfig typed = parse(with("{" + qwen2 + R"(, "use_sliding_window": true,
      "sliding_window": 4096, "max_window_layers": 1,
      "layer_types": ["sliding_attention", "full_attention", "full_attention"]})"));
  EXPECT_EQ(typed.sliding_layers,
            (std::vector<bool>{true, false, false}));  // as transformers has it
}

TEST(FamilyConfig, ReadsStableLm) {
  const std::string stablelm =
      R"("model_type": "stablelm", "architectures": ["StableLmForCausalLM"])";
  const ModelConfig plain = parse(with("{" + stablelm + R"(, "layer_norm_eps": 3e-5})"));
  EXPECT_EQ(plain.rotary_dim, 32);  // a quarter of 128
  EXPECT_EQ(plain.norm_eps, 3e-5);  // not rms_norm_eps
  EXPECT_FALSE(plain.qkv_bias || plain.output_bias || plain.mlp_bias);
  EXPECT_TRUE(parse(with("{" + stablelm + R"(, "use_qkv_bias": true})")).qkv_bias);
  const auto turned = [&](const std::string& keys) {
    return parse(with("{" + stablelm + ", " + keys + "}")).rotary_dim;
  };
  EXPECT_EQ(turned(R"("partial_rotary_factor": 0.5)"), 64);
  EXPECT_EQ(turned(R"("partial_rotary_factor": 1)"), 128);
  EXPECT_EQ(turned(R"("rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5})"), 64);
  EXPECT_EQ(turned(R"("head_dim": 80, "hidden_size": 2560)"), 20);
  EXPECT_EQ(parse(kLlama2).rotary_dim, 128);
}

TEST(FamilyConfig, ReadsLongRope) {
  const std::string phi3 = R"("model_type": "phi3", "architectures": ["Phi3ForCausalLM"],
      "hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 64,
      "original_max_position_embeddings": 16)";
  const auto scaled = [&](const std::string& dictionary) {
    return with("{" + phi3 + R"(, "rope_scaling": )" + dictionary + "}");
  };
  const std::string lists = R"("short_factor": [1, 1, 1, 2], "long_factor": [1, 2, 4, 8])";
  // "su" and "yarn" are what early folders say.
  for (const std::string type : {"longrope", "su", "yarn"}) {
    const RopeConfig rope = parse(scaled("{\"type\": \"" + type + "\", " + lists + "}")).rope;
    EXPECT_EQ(rope.kind, RopeKind::kLongRope) << type;
    EXPECT_EQ(rope.factor, 4);  // 64 / 16
    EXPECT_DOUBLE_EQ(rope.attention_factor, std::sqrt(1 + std::log(4.0) / std::log(16.0)));
    // theta^(-2 i / 8) over the lists, short up to 16 tokens.
    EXPECT_DOUBLE_EQ(rope_frequencies(rope, 8, 16, 64)[3], std::pow(1e4, -0.75) / 2);
    EXPECT_DOUBLE_EQ(rope_frequencies(rope, 8, 17, 64)[3], std::pow(1e4, -0.75) / 8);
    EXPECT_FALSE(rope.turns_anew(0, 17) || rope.turns_anew(15, 16) || rope.turns_anew(17, 18));
    EXPECT_TRUE(rope.turns_anew(16, 17));
  }
  const auto refused = [&](const char* code, const std::string& dictionary) {
    return expect_error(code, [&] { parse(scaled(dictionary)); }).message;
  };
  EXPECT_EQ(refused("CFG_RANGE", R"({"type": "longrope", "short_factor": [1, 1, 1, 1]})"),
            "config.json: the rope settings must hold \"long_factor\", a list of positive numbers");
  EXPECT_EQ(
      refused("CFG_RANGE", R"({"type": "longrope", "short_factor": [1, -1], "long_factor": 3})"),
      "config.json: the rope settings must hold \"short_factor\", a list of positive numbers");
  EXPECT_EQ(refused("CFG_INCONSISTENT",
                    R"({"type": "longrope", "short_factor": [1], "long_factor": [1, 1, 1, 1]})"),
            "config.json: short_factor must hold 4 numbers, one for every two of the 8 channels of "
            "a head that RoPE turns, found 1");
}

TEST(FamilyConfig, ReadsLayersWithoutRope) {
  const std::string smollm3 = R"("model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"],
      "num_hidden_layers": 3)";
  const auto turned = [&](const std::string& keys) {
    return parse(with("{" + smollm3 + keys + "}")).turned_layers;
  };
  EXPECT_EQ(turned(""), (std::vector<bool>{true, true, true}));  // every fourth has none
  EXPECT_EQ(turned(R"(, "no_rope_layer_interval": 2)"), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(turned(R"(, "no_rope_layers": [0, 1, 1])"), (std::vector<bool>{false, true, true}));
  for (const char* wrong : {"[1, 0]", "[1, 2, 0]", "3"}) {
    const ErrorInfo error = expect_error(
        "CFG_INCONSISTENT", [&] { turned(std::string(R"(, "no_rope_layers": )") + wrong); });
    EXPECT_NE(error.message.find("no_rope_layers must be a list of num_hidden_layers=3 numbers"),
              std::string::npos)
        << error.message;
  }
  expect_error<UnsupportedError>("CFG_UNSUPPORTED",
                                 [&] { turned(R"(, "use_sliding_window": true)"); });
  expect_error("CFG_INCONSISTENT", [&] {
    turned(R"(, "layer_types": ["full_attention", "sliding_attention", "full_attention"])");
  });
}

TEST(FamilyConfig, GemmaLooksBackAlone) {
  const ErrorInfo error = expect_error<UnsupportedError>("CFG_UNSUPPORTED", [] {
    parse(with(R"({"model_type": "gemma", "architectures": ["GemmaForCausalLM"],
        "hidden_act": "gelu_pytorch_tanh", "use_bidirectional_attention": true})"));
  });
  EXPECT_NE(error.message.find("tokens see those behind them"), std::string::npos);
}

TEST(FamilyConfig, RefusesWhatDoesNotFit) {
  const BadConfig cases[] = {
      {"an odd part turned", "CFG_INCONSISTENT",
       with(R"({"model_type": "stablelm", "architectures": ["StableLmForCausalLM"],
              "partial_rotary_factor": 0.26})"),
       "config.json: partial_rotary_factor times head_dim=128 must be an even number of channels, "
       "2 to 128, found 0.26 * 128, rounded down to 33"},
      {"nothing turned", "CFG_INCONSISTENT",
       with(R"({"model_type": "stablelm", "architectures": ["StableLmForCausalLM"],
              "partial_rotary_factor": 0.001})")},
      {"more than all turned", "CFG_INCONSISTENT",
       with(R"({"model_type": "stablelm", "architectures": ["StableLmForCausalLM"],
              "partial_rotary_factor": 1e300})")},
      {"windows turned by whom", "CFG_INCONSISTENT",
       with(
           R"({"model_type": "olmo3", "architectures": ["Olmo3ForCausalLM"], "rope_theta": 10000.0})"),
       "config.json: rope_theta must be 500000 for Olmo3ForCausalLM, or rope_parameters must say "
       "what layers with and without a window have; found 10000"},
      {"windows of no length", "CFG_INCONSISTENT",
       with(R"({"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"],
              "sliding_window": null})"),
       "config.json: must hold \"sliding_window\", the tokens that layers with a window see"},
      {"two parts", "CFG_INCONSISTENT",
       with(R"({"model_type": "stablelm", "architectures": ["StableLmForCausalLM"],
              "partial_rotary_factor": 0.5, "rope_parameters": {"partial_rotary_factor": 0.25}})"),
       "config.json: partial_rotary_factor in rope_parameters and partial_rotary_factor beside it "
       "must be the same, found 0.25 and 0.5"},
      {"no part", "CFG_RANGE",
       with(R"({"model_type": "stablelm", "architectures": ["StableLmForCausalLM"],
              "partial_rotary_factor": -1})")},
      {"a layer slides over no window", "CFG_INCONSISTENT",
       with(
           R"({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 1,
              "sliding_window": 4096, "layer_types": ["sliding_attention"]})"),
       "config.json: layer_types names \"sliding_attention\", but there is no sliding_window in "
       "use"},
      {"heads beside the hidden size", "CFG_INCONSISTENT",
       with(R"({"model_type": "stablelm", "architectures": ["StableLmForCausalLM"],
              "head_dim": 80})"),
       "config.json: head_dim times num_attention_heads must be hidden_size=4096 for "
       "StableLmForCausalLM, found 80 * 32"},
  };
  for (const BadConfig& c : cases) {
    SCOPED_TRACE(c.id);
    const ErrorInfo error = expect_error(c.code, [&] { parse(c.text); });
    if (*c.message != '\0') {
      EXPECT_EQ(error.message, c.message);
    }
  }
}

TEST(FamilyConfig, ReadsOtherSpellings) {
  EXPECT_EQ(parse(with(R"({"torch_dtype": "torch.bfloat16"})")).dtype, "bfloat16");
  const ModelConfig base =
      parse(with(R"({"architectures": ["LlamaModel"], "tie_word_embeddings": true})"));
  EXPECT_EQ(base.architecture, "LlamaForCausalLM");
  const ErrorInfo pointer = expect_error(
      "JSON_SYNTAX", [] { parse("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"); });
  EXPECT_EQ(pointer.message, "config.json: must be JSON, found a Git LFS pointer");
  EXPECT_EQ(pointer.hint, "run `git lfs pull` in the repository it came from");
}

TEST(FamilyConfig, WhatIsUnsupportedSaysWhy) {
  const BadConfig cases[] = {
      {"a multimodal model", "CFG_UNSUPPORTED",
       with(R"({"model_type": "llava", "text_config": {"model_type": "llama"}})"),
       "config.json: model_type \"llava\" is not supported: it is a multimodal model; save its "
       "language model (text_config, llama) alone; supported: baichuan, cohere, cohere2, "
       "deepseek, falcon, gemma, gemma2, gemma3_text, gpt_neox, granite, internlm, internlm2, "
       "llama, "
       "mistral, mixtral, olmo, olmo2, olmo3, olmoe, phi, phi3, qwen2, qwen2_moe, qwen3, "
       "qwen3_moe, smollm3, stablelm, starcoder2"},
      {"weights of mlx_lm", "CFG_QUANTIZED", with(R"({"quantization": {"bits": 4}})"),
       "config.json: quantized weights (quantization_config, method null) are not supported"},
      {"a base model without its head", "CFG_UNSUPPORTED",
       with(R"({"architectures": ["LlamaModel"]})"),
       "config.json: architectures must be [\"LlamaForCausalLM\"] for model_type \"llama\", found "
       "[\"LlamaModel\"]"},
  };
  for (const BadConfig& c : cases) {
    SCOPED_TRACE(c.id);
    EXPECT_EQ(expect_error<UnsupportedError>(c.code, [&] { parse(c.text); }).message, c.message);
  }
}

// Qwen1.5-0.5B is published like this.
TEST(FamilyFolder, ATiedHeadMayBeThereAsACopy) {
  const TemporaryFolder folder;
  const TinyModelSpec spec{.model_type = "qwen2", .tie_word_embeddings = true};
  std::vector<TensorData> tensors = tiny_tensors(spec);
  TensorData copy = tensors.front();
  ASSERT_EQ(copy.spec.name, "model.embed_tokens.weight");
  copy.spec.name = "lm_head.weight";
  tensors.push_back(copy);
  folder.write("config.json", tiny_config(spec));
  write_tensors(folder.path(), tensors, 2);
  const ModelFolder model = ModelFolder::open(folder.path());
  ASSERT_EQ(model.notices().size(), 1u);
  EXPECT_EQ(
      model.notices()[0],
      folder.path() + ": lm_head.weight is a copy of the embedding it is tied to, and left out");
  EXPECT_EQ(model.tensors().size(), tensors.size() - 1);
  tensors.back().bytes.back() ^= 1;  // other bytes are another head
  write_tensors(folder.path(), tensors, 2);
  expect_error("CFG_TIE", [&] { ModelFolder::open(folder.path()); });
  tensors.back().bytes.resize(copy.bytes.size() / 2);
  tensors.back().spec.shape[0] /= 2;
  write_tensors(folder.path(), tensors, 2);
  expect_error("CFG_TIE", [&] { ModelFolder::open(folder.path()); });
}

TEST(FamilyConfig, SaysWhichEnginesDoNotServeSharedHeads) {
  const auto limit = [](const char* family, int64_t n_kv_heads) {
    const TinyModelSpec spec{.model_type = family, .n_kv_heads = n_kv_heads};
    return std::string(serving_limit(parse_model_config(tiny_config(spec), "config.json")));
  };
  EXPECT_TRUE(contains(limit("phi", 2), "vLLM needs --model-impl transformers"));
  EXPECT_TRUE(contains(limit("phi", 2), "llama.cpp loads none"));
  EXPECT_TRUE(contains(limit("olmo", 1), "vLLM needs --model-impl transformers"));
  EXPECT_TRUE(contains(limit("olmoe", 2), "llama.cpp loads none"));
  EXPECT_EQ(limit("phi", 4), "");  // each query head has a KV head
  EXPECT_EQ(limit("llama", 2), "");
}

}  // namespace
}  // namespace regroup::testing
