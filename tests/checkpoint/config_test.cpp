// config.json: what is read, what is refused and with which words, and what a conversion rewrites.
#include "regroup/checkpoint/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/config_text.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_heads.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

using namespace std::string_literals;

TEST(Config, ReadsLlama2) {
  const ModelConfig config = parse(kLlama2);
  EXPECT_EQ(config.family->model_type, "llama");
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.n_layers, 32);
  EXPECT_EQ(config.n_heads, 32);
  EXPECT_EQ(config.n_kv_heads, 32);  // absent: MHA
  EXPECT_EQ(config.head_dim, 128);   // 4096 / 32
  EXPECT_EQ(config.group_size(), 1);
  EXPECT_EQ(config.max_positions, 4096);
  EXPECT_EQ(config.norm_eps, 1e-5);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_ids, std::vector<int64_t>{2});
  EXPECT_EQ(config.dtype, "float16");
  EXPECT_FALSE(config.tie_word_embeddings || config.qkv_bias || config.output_bias ||
               config.mlp_bias);
  EXPECT_FALSE(config.sliding_window.has_value());
}

TEST(Config, ReadsWhatOtherModelsSay) {
  const ModelConfig gqa = parse(with(R"({"num_key_value_heads": 8, "head_dim": 64})"));
  EXPECT_EQ(gqa.n_kv_heads, 8);
  EXPECT_EQ(gqa.group_size(), 4);
  EXPECT_EQ(gqa.query_size(), 32 * 64);  // differs from hidden_size
  EXPECT_EQ(gqa.kv_size(), 8 * 64);
  EXPECT_EQ(parse(with(R"({"eos_token_id": [2, 5]})")).eos_token_ids, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(parse(with(R"({"bos_token_id": null})")).bos_token_id, std::nullopt);
  EXPECT_EQ(parse(with(R"({"dtype": "bfloat16"})")).dtype, "bfloat16");  // wins over torch_dtype
  const ModelConfig biased = parse(with(R"({"attention_bias": true})"));
  EXPECT_TRUE(biased.qkv_bias && biased.output_bias);
}

TEST(Config, RefusesWithTheCodeOfTheTable) {
  const BadConfig cases[] = {
      {"C01 empty", "JSON_SYNTAX", ""},
      {"C01 null", "CFG_NOT_OBJECT", "null", "config.json: must be a JSON object, found null"},
      {"C01 list", "CFG_NOT_OBJECT", "[]", "config.json: must be a JSON object, found array"},
      {"C02", "JSON_DUPLICATE_KEY", R"({"hidden_size": 1, "hidden_size": 2})",
       "config.json: key \"hidden_size\" appears twice"},
      {"C03", "JSON_DEPTH", std::string(1'000'000, '[')},
      {"C04 NaN", "JSON_SYNTAX", R"({"hidden_size": NaN})"},
      {"C04 Infinity", "JSON_SYNTAX", R"({"hidden_size": Infinity})"},
      {"C04 1e999", "JSON_SYNTAX", R"({"hidden_size": 1e999})"},
      {"C04 hex", "JSON_SYNTAX", R"({"hidden_size": 0x10})"},
      {"C04 octal", "JSON_SYNTAX", R"({"hidden_size": 01})"},
      {"C04 -0", "CFG_RANGE", with(R"({"hidden_size": -0})")},
      {"C04 -1", "CFG_RANGE", with(R"({"hidden_size": -1})")},
      {"C04 4.0", "CFG_RANGE", with(R"({"hidden_size": 4.0})")},
      {"C04 2^64", "CFG_RANGE", with(R"({"hidden_size": 18446744073709551616})")},
      {"C05 0", "CFG_RANGE", with(R"({"num_hidden_layers": 0})"),
       "config.json: \"num_hidden_layers\" must be an integer from 1 to 10000, found 0"},
      {"C05 -1", "CFG_RANGE", with(R"({"num_hidden_layers": -1})")},
      {"C05 1.5", "CFG_RANGE", with(R"({"num_hidden_layers": 1.5})")},
      {"C05 string", "CFG_TYPE", with(R"({"num_hidden_layers": "32"})"),
       "config.json: \"num_hidden_layers\" must be an integer from 1 to 10000, found \"32\""},
      {"C05 true", "CFG_TYPE", with(R"({"num_hidden_layers": true})")},
      {"C05 10^9", "CFG_RANGE", with(R"({"num_hidden_layers": 1000000000})")},
      {"C05 2^31", "CFG_RANGE", with(R"({"num_hidden_layers": 2147483648})")},
      {"C05 2^63", "CFG_RANGE", with(R"({"num_hidden_layers": 9223372036854775808})")},
      {"C05 2^64", "CFG_RANGE", with(R"({"num_hidden_layers": 18446744073709551616})")},
      {"C19", "CFG_RANGE", with(R"({"max_position_embeddings": 1000000000000})")},
      {"missing", "CFG_MISSING_KEY", with(R"({"vocab_size": "REMOVE"})"),
       "config.json: must hold \"vocab_size\""},
      {"C06", "CFG_INCONSISTENT", with(R"({"hidden_size": 4095})"),
       "config.json: without \"head_dim\", hidden_size must be a multiple of num_attention_heads, "
       "found 4095 and 32"},
      {"C07 remainder", "CFG_INCONSISTENT", with(R"({"num_key_value_heads": 5})"),
       "config.json: num_attention_heads must be a multiple of num_key_value_heads, found 32 and "
       "5"},
      {"C07 zero", "CFG_RANGE", with(R"({"num_key_value_heads": 0})")},
      {"C07 more", "CFG_INCONSISTENT", with(R"({"num_key_value_heads": 64})")},
      {"odd head", "CFG_INCONSISTENT", with(R"({"head_dim": 7})"),
       "config.json: head_dim must be even for rotary embeddings, found 7"},
      {"C08", "CFG_OVERFLOW", with(R"({"num_attention_heads": 1048576, "head_dim": 1048576})")},
      {"C09 zero", "CFG_RANGE", with(R"({"vocab_size": 0})")},
      {"C09 2^31", "CFG_RANGE", with(R"({"vocab_size": 2147483648})")},
      {"C10 too large", "CFG_TOKEN_ID", with(R"({"eos_token_id": 32000})"),
       "config.json: \"eos_token_id\" must be a token id below vocab_size=32000, found 32000"},
      {"C10 negative", "CFG_TOKEN_ID", with(R"({"eos_token_id": [2, -1]})")},
      {"C10 list", "CFG_TOKEN_ID", with(R"({"bos_token_id": [1]})")},
      {"C11 zero", "CFG_RANGE", with(R"({"rope_theta": 0})")},
      {"C11 negative", "CFG_RANGE", with(R"({"rope_theta": -1})"),
       "config.json: \"rope_theta\" must be above 0, found -1"},
      {"C11 string", "CFG_TYPE", with(R"({"rope_theta": "1e4"})")},
      {"C11 factor", "CFG_RANGE", with(R"({"rope_scaling": {"type": "linear"}})"),
       "config.json: the rope settings must hold \"factor\""},
      {"C11 list", "CFG_TYPE", with(R"({"rope_scaling": [1]})")},
      {"C11 llama3", "CFG_RANGE",
       with(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4,
               "high_freq_factor": 4, "original_max_position_embeddings": 8192}})"),
       "config.json: high_freq_factor must exceed low_freq_factor, found 4 and 4"},
      {"C12 negative", "CFG_RANGE", with(R"({"rms_norm_eps": -1e-5})")},
      {"C12 string", "CFG_TYPE", with(R"({"rms_norm_eps": "1e-5"})")},
      {"C18", "CFG_INCONSISTENT",
       with(R"({"model_type": "mistral", "architectures": ["MistralForCausalLM"],
               "sliding_window": 8, "layer_types": ["full_attention"]})"),
       "config.json: layer_types must be a list of num_hidden_layers=32 names, found 1"},
      {"C24 UTF-16", "JSON_UTF8", "\xFF\xFE{\0}\0"s},
      {"C24 no mark", "JSON_SYNTAX", "{\0}\0"s},
      {"C24 invalid", "JSON_UTF8", "{\"a\":\"\xC3\x28\"}"},
      {"C24 surrogate", "JSON_SYNTAX", R"({"a": "\ud800"})"},
      {"4 MiB", "LIMIT_FILE_SIZE", std::string((4 << 20) + 1, ' ')},
  };
  for (const BadConfig& c : cases) {
    SCOPED_TRACE(c.id);
    const ErrorInfo error = expect_error(c.code, [&] { parse(c.text); });
    if (*c.message != '\0') {
      EXPECT_EQ(error.message, c.message);
    }
  }
}

TEST(Config, WhatIsUnsupportedSaysWhatIsSupported) {
  const auto refused = [](const char* type, const std::string& why) {
    return fmt::format(
        "config.json: model_type \"{}\" is not supported{}{}; supported: baichuan, cohere, "
        "cohere2, deepseek, falcon, gemma, gemma2, gemma3_text, gpt_neox, granite, internlm, "
        "internlm2, llama, mistral, mixtral, olmo, olmo2, olmo3, olmoe, phi, phi3, qwen2, "
        "qwen2_moe, qwen3, qwen3_moe, smollm3, stablelm, starcoder2",
        type, why.empty() ? "" : ": ", why);
  };
  const std::string no_class = refused("gptj", "its class has no grouped-query attention");
  const std::string first_name =
      refused("RefinedWeb",
              "it is Falcon under its first name, whose config.json has other keys; take the "
              "folder that says \"falcon\"");
  const std::string alibi = refused(
      "bloom", "its ALiBi slopes belong to head numbers, so heads may not change their order");
  const std::string experts = refused("gpt_oss", "its experts are of a kind that is not computed");
  const std::string unknown = refused("mamba", "");
  const std::string hostile = refused("\\u{1b}[2J\\u{202e}", "");
  const BadConfig cases[] = {
      {"C13 type", "CFG_UNSUPPORTED", with(R"({"model_type": "gptj"})"), no_class.c_str()},
      {"Falcon's first name", "CFG_UNSUPPORTED", with(R"({"model_type": "RefinedWeb"})"),
       first_name.c_str()},
      {"ALiBi", "CFG_UNSUPPORTED", with(R"({"model_type": "bloom"})"), alibi.c_str()},
      {"experts", "CFG_UNSUPPORTED", with(R"({"model_type": "gpt_oss"})"), experts.c_str()},
      {"unknown", "CFG_UNSUPPORTED", with(R"({"model_type": "mamba"})"), unknown.c_str()},
      {"C21", "CFG_UNSUPPORTED", with("{\"model_type\": \"\\u001b[2J\xE2\x80\xAE\"}"),
       hostile.c_str()},
      {"C13 none", "CFG_UNSUPPORTED", with(R"({"architectures": []})"),
       "config.json: architectures must be [\"LlamaForCausalLM\"] for model_type \"llama\", found "
       "[]"},
      {"C13 other", "CFG_UNSUPPORTED",
       with(R"({"architectures": ["LlamaForSequenceClassification"]})")},
      {"C16", "CFG_QUANTIZED", with(R"({"quantization_config": {"quant_method": "gptq"}})"),
       "config.json: quantized weights (quantization_config, method \"gptq\") are not supported"},
      {"C11 type", "CFG_UNSUPPORTED", with(R"({"rope_scaling": {"type": "ntk", "factor": 2}})"),
       "config.json: rope type \"ntk\" is not supported; supported: default, linear, dynamic, "
       "llama3, yarn, longrope"},
      {"partial", "CFG_UNSUPPORTED", with(R"({"partial_rotary_factor": 0.5})"),
       "config.json: partial_rotary_factor must be 1 for LlamaForCausalLM, found 0.5"},
      {"partial inside", "CFG_UNSUPPORTED",
       with(R"({"rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5}})")},
      {"per layer type", "CFG_UNSUPPORTED",
       with(R"({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}})")},
      {"one for all layer types", "CFG_UNSUPPORTED",
       with(R"({"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"],
                "hidden_activation": "gelu_pytorch_tanh", "rope_parameters": {"rope_theta": 1e6}})"),
       "config.json: rope_parameters of Gemma3ForCausalLM must hold \"full_attention\" and "
       "\"sliding_attention\", found neither"},
      {"windows turned by length", "CFG_UNSUPPORTED",
       with(R"({"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"],
                "rope_parameters": {"sliding_attention": {"rope_type": "dynamic", "factor": 2.0}}})"),
       "config.json: rope settings of layers with a window must not depend on the length of the "
       "sequence, found dynamic or longrope"},
      {"activation", "CFG_UNSUPPORTED", with(R"({"hidden_act": "gelu"})")},
      {"layer type", "CFG_UNSUPPORTED",
       with(
           R"({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "num_hidden_layers": 1,
               "sliding_window": 8, "layer_types": ["linear_attention"]})"),
       "config.json: layer_types[0] must be \"full_attention\" or \"sliding_attention\", found "
       "\"linear_attention\""},
  };
  for (const BadConfig& c : cases) {
    SCOPED_TRACE(c.id);
    const ErrorInfo error = expect_error<UnsupportedError>(c.code, [&] { parse(c.text); });
    if (*c.message != '\0') {
      EXPECT_EQ(error.message, c.message);
    }
  }
}

TEST(Config, UnknownKeysAreNormal) {
  EXPECT_NO_THROW(parse(with(R"({"_name_or_path": "../../..", "_commit_hash": "x", "zzz": [1]})")));
}

// transformers 4.x says rope_theta and rope_scaling, 5.x says rope_parameters.
TEST(RopeConfig, BothSpellingsMeanTheSame) {
  const char* spellings[] = {
      R"({"rope_theta": 500000.0, "rope_scaling": {"type": "linear", "factor": 4.0}})",
      R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}})",
      R"({"rope_parameters": {"rope_theta": 500000.0, "rope_type": "linear", "factor": 4.0}})",
      R"({"rope_theta": 500000.0, "rope_parameters": {"rope_type": "linear", "factor": 4.0}})",
      R"({"rope_theta": 500000.0, "rope_scaling": {"type": "linear", "factor": 4.0},
          "rope_parameters": {"rope_theta": 500000.0, "rope_type": "linear", "factor": 4.0}})",
      R"({"rope_theta": 500000.0, "rope_scaling": null,
          "rope_parameters": {"rope_theta": 500000.0, "rope_type": "linear", "factor": 4.0}})",
  };
  for (const char* spelling : spellings) {
    SCOPED_TRACE(spelling);
    const RopeConfig rope = parse(with(spelling)).rope;
    EXPECT_EQ(rope.kind, RopeKind::kLinear);
    EXPECT_EQ(rope.theta, 500000.0);
    EXPECT_EQ(rope.factor, 4.0);
  }
  const RopeConfig plain =
      parse(with(R"({"rope_parameters": {"rope_theta": 7.0, "rope_type": "default"}})")).rope;
  EXPECT_EQ(plain.kind, RopeKind::kDefault);
  EXPECT_EQ(plain.theta, 7.0);
}

TEST(RopeConfig, DisagreementIsRefused) {
  const char* spellings[] = {
      R"({"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 500000.0}})",
      R"({"rope_scaling": {"type": "linear", "factor": 4.0},
          "rope_parameters": {"rope_theta": 10000.0, "rope_type": "linear", "factor": 2.0}})",
      R"({"rope_scaling": {"type": "linear", "factor": 4.0},
          "rope_parameters": {"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 4.0}})",
      R"({"rope_scaling": {"type": "yarn", "factor": 4.0},
          "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 16}})",
      R"({"rope_scaling": {"type": "yarn", "factor": 4.0},
          "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "truncate": false}})",
  };
  for (const char* spelling : spellings) {
    SCOPED_TRACE(spelling);
    const ErrorInfo error = expect_error("CFG_INCONSISTENT", [&] { parse(with(spelling)); });
    EXPECT_EQ(error.message,
              "config.json: rope_parameters and rope_theta/rope_scaling must say the same");
  }
}

TEST(RopeConfig, ScalingsReadTheirNumbers) {
  const RopeConfig llama3 = parse(with(R"({"rope_theta": 500000.0, "rope_scaling": {
      "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}})"))
                                .rope;
  EXPECT_EQ(llama3.kind, RopeKind::kLlama3);
  EXPECT_EQ(llama3.original_max_positions, 8192);
  // Without attention_factor: 0.1 ln(40) + 1. With both mscales: (0.1 ln(40) + 1) / (0.05 ln(40) + 1).
  const double ln40 = 3.6888794541139363;
  const auto yarn = [&](const std::string& more) {
    return parse(
               with(
                   R"({"rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096)" +
                   more + "}}"))
        .rope;
  };
  EXPECT_DOUBLE_EQ(yarn("").attention_factor, 0.1 * ln40 + 1);
  EXPECT_DOUBLE_EQ(yarn(R"(, "mscale": 1.0, "mscale_all_dim": 0.5)").attention_factor,
                   (0.1 * ln40 + 1) / (0.05 * ln40 + 1));
  EXPECT_EQ(yarn(R"(, "attention_factor": 2.5)").attention_factor, 2.5);
  // A null factor is max_position_embeddings / original = 4096 / 1024.
  EXPECT_EQ(parse(with(R"({"rope_scaling": {"type": "yarn", "factor": null,
      "original_max_position_embeddings": 1024}})"))
                .rope.factor,
            4.0);
}

TEST(KvHeads, ChoicesAreTheDivisors) {
  EXPECT_EQ(kv_head_choices(parse(with(R"({"num_attention_heads": 12, "hidden_size": 768})"))),
            (std::vector<int64_t>{1, 2, 3, 4, 6, 12}));
  EXPECT_EQ(kv_head_choices(parse(with(R"({"num_key_value_heads": 8})"))),
            (std::vector<int64_t>{1, 2, 4, 8}));
}

TEST(KvHeads, MultiplesDivideTheQueryHeads) {
  const ModelConfig config = parse(with(R"({"num_attention_heads": 24, "hidden_size": 1536,
      "num_key_value_heads": 2})"));
  EXPECT_EQ(repeated_kv_head_choices(config), (std::vector<int64_t>{4, 6, 8, 12, 24}));
  for (const int64_t good : {1, 2, 4, 24}) {
    EXPECT_NO_THROW(require_kv_heads_or_more(config, good));
  }
  // 14 query heads on 2: no number in between.
  const ModelConfig uneven = parse(with(R"({"num_attention_heads": 14, "hidden_size": 896,
      "num_key_value_heads": 2})"));
  for (const int64_t bad : {4, 28, 0}) {
    const ErrorInfo error =
        expect_error<ConfigError>("KV_HEADS", [&] { require_kv_heads_or_more(uneven, bad); });
    EXPECT_EQ(error.message,
              "`kv-heads` must divide the model's 2 key/value heads, or be a multiple of them that "
              "divides its 14 query heads, found " +
                  std::to_string(bad));
    EXPECT_EQ(error.hint, "choose one of 1, 2 to merge heads, or of 14 to repeat them");
  }
  EXPECT_TRUE(repeated_kv_head_choices(parse(kLlama2)).empty());
  EXPECT_EQ(
      expect_error<ConfigError>("KV_HEADS", [&] { require_kv_heads_or_more(parse(kLlama2), 64); })
          .message,
      "`kv-heads` must not exceed the model's 32 key/value heads, found 64");
}

TEST(KvHeads, ErrorsNameTheChoices) {
  const ModelConfig config = parse(with(R"({"num_key_value_heads": 8})"));
  for (const int64_t good : {1, 2, 4, 8}) EXPECT_NO_THROW(require_kv_heads(config, good));
  const struct {
    int64_t heads;
    const char* message;
  } cases[] = {
      {3, "`kv-heads` must divide the model's 8 key/value heads, found 3"},
      {0, "`kv-heads` must divide the model's 8 key/value heads, found 0"},
      {-1, "`kv-heads` must divide the model's 8 key/value heads, found -1"},
      {16, "`kv-heads` must not exceed the model's 8 key/value heads, found 16"},
  };
  for (const auto& c : cases) {
    const ErrorInfo error =
        expect_error<ConfigError>("KV_HEADS", [&] { require_kv_heads(config, c.heads); });
    EXPECT_EQ(error.message, c.message);
    EXPECT_EQ(error.hint, "choose one of 1, 2, 4, 8");
  }
}

TEST(RewriteConfig, ChangesOneValueAndKeepsTheRest) {
  const std::string before =
      R"({"zeta": 1e-05, "num_key_value_heads": 8, "a": "模\n", "n": null, "big": 18446744073709551615,
    "nested": {"y": [1.0, -2], "x": {}}, "num_attention_heads": 8})";
  const std::string after = R"({
  "zeta": 1e-05,
  "num_key_value_heads": 2,
  "a": "模\n",
  "n": null,
  "big": 18446744073709551615,
  "nested": {
    "y": [
      1.0,
      -2
    ],
    "x": {}
  },
  "num_attention_heads": 8
}
)";
  EXPECT_EQ(rewrite_config(*find_family("llama"), before, 2, "", "config.json"), after);
}

TEST(RewriteConfig, AddsTheKeyAfterTheQueryHeads) {
  EXPECT_EQ(rewrite_config(*find_family("llama"), R"({"a":1,"num_attention_heads":8,"b":2})", 2, "",
                           "config.json"),
            "{\n  \"a\": 1,\n  \"num_attention_heads\": 8,\n  \"num_key_value_heads\": 2,\n  "
            "\"b\": 2\n}\n");
}

TEST(RewriteConfig, NothingToChangeIsTheSameText) {
  const std::string text = "{\"num_attention_heads\":8,   \"num_key_value_heads\":2}";
  EXPECT_EQ(rewrite_config(*find_family("llama"), text, 2, "", "config.json"), text);
}

TEST(RewriteConfig, SetsTheDtypeWhereItStands) {
  const auto rewritten = [](const std::string& keys) {
    return Json::parse(rewrite_config(*find_family("llama"),
                                      "{" + keys + "\"num_key_value_heads\":2}", 2, "bfloat16",
                                      "x"))
        .dump();
  };
  EXPECT_EQ(rewritten(R"("dtype":"float32",)"), R"({"dtype":"bfloat16","num_key_value_heads":2})");
  EXPECT_EQ(rewritten(R"("torch_dtype":"float32",)"),
            R"({"torch_dtype":"bfloat16","num_key_value_heads":2})");
  EXPECT_EQ(rewritten(R"("dtype":"a","torch_dtype":"b",)"),
            R"({"dtype":"bfloat16","torch_dtype":"bfloat16","num_key_value_heads":2})");
}

TEST(RewriteConfig, WhatItWritesIsRead) {
  const ModelConfig config =
      parse(rewrite_config(*find_family("llama"), kLlama2, 8, "bfloat16", "config.json"));
  EXPECT_EQ(config.n_kv_heads, 8);
  EXPECT_EQ(config.dtype, "bfloat16");
}

TEST(ReadConfig, NamesTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "config.json";
  folder.write("notes.txt", "x");
  EXPECT_EQ(expect_error("CFG_MISSING", [&] { read_model_config(path); }).message,
            path + ": must exist");
  folder.write("config.json", kLlama2);
  EXPECT_EQ(read_model_config(path).n_layers, 32);
}

}  // namespace
}  // namespace regroup::testing
