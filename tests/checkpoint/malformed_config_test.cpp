// What else may be wrong with a config.json, by the numbers of the reference's list: C05 to C26.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/config_text.h"
#include "regroup/checkpoint/model_folder.h"
#include "support/bounded.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMebibyte = 1 << 20;

/// kLlama2 as a model of another family, with `keys`.
std::string of_family(const std::string& model_type, const std::string& architecture,
                      const std::string& keys) {
  return with(fmt::format(R"({{"model_type": "{}", "architectures": ["{}"], {}}})", model_type,
                          architecture, keys));
}
std::string mistral(const std::string& keys) {
  return of_family("mistral", "MistralForCausalLM", keys);
}
std::string qwen2(const std::string& keys) { return of_family("qwen2", "Qwen2ForCausalLM", keys); }
std::string smollm3(const std::string& keys) {
  return of_family("smollm3", "SmolLM3ForCausalLM", keys);
}
std::string gemma3(const std::string& keys) {
  return of_family("gemma3_text", "Gemma3ForCausalLM",
                   R"("hidden_activation": "gelu_pytorch_tanh", "sliding_window": 8, )" + keys);
}

TEST(MalformedConfig, IsRefusedAndNamesTheKey) {
  const BadConfig cases[] = {
      {"C18 pattern 0", "CFG_RANGE", gemma3(R"("sliding_window_pattern": 0)"),
       "config.json: \"sliding_window_pattern\" must be an integer from 1 to 10000, found 0"},
      {"C18 RoPE pattern 0", "CFG_RANGE", smollm3(R"("no_rope_layer_interval": 0)"),
       "config.json: \"no_rope_layer_interval\" must be an integer from 1 to 10000, found 0"},
      {"C18 window 0", "CFG_RANGE", mistral(R"("sliding_window": 0)")},
      {"C18 without a window", "CFG_INCONSISTENT",
       qwen2(R"("use_sliding_window": false, "layer_types": ["full_attention"])"),
       "config.json: layer_types must be a list of num_hidden_layers=32 names, found 1"},
      {"C18 null window", "CFG_INCONSISTENT",
       mistral(R"("sliding_window": null, "layer_types": "full_attention")"),
       "config.json: layer_types must be a list of num_hidden_layers=32 names, found "
       "\"full_attention\""},
      {"C18 without RoPE", "CFG_INCONSISTENT", smollm3(R"("layer_types": [])"),
       "config.json: layer_types must be a list of num_hidden_layers=32 names, found 0"},
      {"C11 tiny theta", "CFG_RANGE", with(R"({"rope_theta": 1e-310})"),
       "config.json: the rope settings must give finite angles and a finite attention factor, "
       "found others"},
      {"C11 tiny factor", "CFG_RANGE",
       with(R"({"rope_scaling": {"type": "linear", "factor": 1e-320}})")},
      {"C11 yarn of theta 1", "CFG_RANGE",
       with(R"({"rope_theta": 1, "rope_scaling": {"type": "yarn", "factor": 4}})")},
      {"C11 yarn of infinite gain", "CFG_RANGE",
       with(R"({"rope_scaling": {"type": "yarn", "factor": 1e308, "mscale": 1e308,
               "mscale_all_dim": 1}})")},
      {"C11 longrope of 1 token", "CFG_RANGE",
       of_family("phi3", "Phi3ForCausalLM",
                 R"("hidden_size": 16, "num_attention_heads": 4, "max_position_embeddings": 64,
                    "original_max_position_embeddings": 1, "rope_scaling": {"type": "longrope",
                    "short_factor": [1, 1], "long_factor": [1, 1]})")},
      {"C11 other layers", "CFG_RANGE", gemma3(R"("rope_local_base_freq": 1e-310)")},
      {"C11 no object", "CFG_TYPE", with(R"({"rope_parameters": "yarn"})")},
      {"C12 zero", "CFG_RANGE", with(R"({"rms_norm_eps": 0})"),
       "config.json: \"rms_norm_eps\" must be above 0, found 0"},
      {"C12 bool", "CFG_TYPE", with(R"({"rms_norm_eps": true})")},
      {"C10 a word", "CFG_TOKEN_ID", with(R"({"bos_token_id": "1"})"),
       "config.json: \"bos_token_id\" must be a token id below vocab_size=32000, found \"1\""},
      {"C10 a list of lists", "CFG_TOKEN_ID", with(R"({"eos_token_id": [[2]]})")},
      {"C10 2^64", "CFG_TOKEN_ID", with(R"({"eos_token_id": 18446744073709551616})")},
      {"C15 dtype", "CFG_TYPE", with(R"({"torch_dtype": 16})"),
       "config.json: \"torch_dtype\" must be a string, found 16"},
      {"C17 a word", "CFG_TYPE", with(R"({"tie_word_embeddings": "true"})")},
  };
  for (const BadConfig& c : cases) {
    SCOPED_TRACE(c.id);
    const ErrorInfo error = expect_error(c.code, [&] { parse(c.text); });
    EXPECT_TRUE(error.message.starts_with("config.json: ")) << error.message;
    if (*c.message != '\0') {
      EXPECT_EQ(error.message, c.message);
    }
  }
}

TEST(MalformedConfig, WhatIsNotComputedIsUnsupported) {
  std::string entries = R"("LlamaForCausalLM")";
  for (int i = 1; i < 150'000; ++i) entries += R"(,"LlamaForCausalLM")";
  const BadConfig cases[] = {
      {"C13 many entries", "CFG_UNSUPPORTED", with("{\"architectures\": [" + entries + "]}")},
      {"C13 a number", "CFG_UNSUPPORTED", with(R"({"architectures": 7})"),
       "config.json: architectures must be [\"LlamaForCausalLM\"] for model_type \"llama\", found "
       "7"},
      {"C13 an object", "CFG_UNSUPPORTED", with(R"({"architectures": {}})")},
      {"C16 a word", "CFG_QUANTIZED", with(R"({"quantization_config": "gptq"})"),
       "config.json: quantized weights (quantization_config, method null) are not supported"},
      {"C16 no method", "CFG_QUANTIZED", with(R"({"quantization_config": {}})")},
      {"C18 a name", "CFG_UNSUPPORTED",
       qwen2(R"("num_hidden_layers": 1, "layer_types": ["linear_attention"])"),
       "config.json: layer_types[0] must be \"full_attention\" or \"sliding_attention\", found "
       "\"linear_attention\""},
  };
  for (const BadConfig& c : cases) {
    SCOPED_TRACE(c.id);
    const ErrorInfo error = expect_error<UnsupportedError>(c.code, [&] { parse(c.text); });
    EXPECT_LT(error.message.size(), 2000U);
    if (*c.message != '\0') {
      EXPECT_EQ(error.message, c.message);
    }
  }
}

/// True if a terminal may be shown `text`: no escape, no bidi mark, and not a mebibyte.
bool may_be_shown(const std::string& text) {
  return text.find('\x1B') == std::string::npos && text.find("\xE2\x80\xAE") == std::string::npos &&
         text.size() < 2000;
}

// C21: wherever a text of the file is repeated.
TEST(MalformedConfig, StringsAreEscapedAndCutInMessages) {
  const std::string hostile = "\\u001b[2J\xE2\x80\xAE" + std::string(kMebibyte, 'x');
  const std::string places[] = {
      R"({"model_type": "@"})",
      R"({"hidden_act": "@"})",
      R"({"architectures": ["@"]})",
      R"({"num_hidden_layers": "@"})",
      R"({"bos_token_id": "@"})",
      R"({"rms_norm_eps": ["@"]})",
      R"({"rope_scaling": {"type": "@", "factor": 2}})",
      R"({"rope_parameters": "@"})",
      R"({"quantization_config": {"quant_method": "@"}})",
      R"({"text_config": {"model_type": "@"}, "model_type": "other"})",
  };
  for (std::string place : places) {
    SCOPED_TRACE(place);
    place.replace(place.find('@'), 1, hostile);
    const std::string text = with(place);
    try {
      parse(text);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_TRUE(may_be_shown(error.what())) << std::string(error.what()).substr(0, 2000);
      EXPECT_TRUE(may_be_shown(error.info().hint));
    }
  }
  const std::string twice = "{\"" + hostile + "\": 1, \"" + hostile + "\": 2}";
  EXPECT_TRUE(may_be_shown(expect_error("JSON_DUPLICATE_KEY", [&] { parse(twice); }).message));
  const std::string open = "{\"model_type\": \"" + hostile;
  EXPECT_TRUE(may_be_shown(expect_error("JSON_SYNTAX", [&] { parse(open); }).message));
}

// C05, C03, C13, C19: a number of the file decides no memory before it is checked.
TEST(MalformedConfig, CostsLittle) {
  constexpr int64_t kBound = 64 * kMebibyte;
  const auto costs = [](const char* code, const std::string& text, int64_t bytes) {
    SCOPED_TRACE(text.substr(0, 60));
    expect_bounded(code, bytes, 2, [&] { parse(text); });
  };
  costs("CFG_RANGE", with(R"({"num_hidden_layers": 1000000000})"), kBound);
  costs("CFG_RANGE", with(R"({"max_position_embeddings": 1000000000000})"), kBound);
  costs("JSON_DEPTH", std::string(kMebibyte, '['), kBound);
  costs("CFG_OVERFLOW", with(R"({"num_attention_heads": 1048576, "head_dim": 1048576})"), kBound);
  costs("OK", with(R"({"num_hidden_layers": 10000, "max_position_embeddings": 1073741824})"),
        kBound);
  std::string entries = "0";
  for (int i = 1; i < 1'000'000; ++i) entries += ",0";
  costs("CFG_UNSUPPORTED", with("{\"architectures\": [" + entries + "]}"), kBound + 12 * kMebibyte);
}

/// A tiny model whose config.json is another one.
class Folder {
 public:
  explicit Folder(const std::string& changes) {
    write_tiny_model(path(), {});
    Json root = Json::parse(read_file(path() + "/config.json"));
    root.update(Json::parse(changes));
    write_file(path() + "/config.json", root.dump());
  }
  std::string path() const { return temporary_ / "model"; }
  const TemporaryFolder& around() const { return temporary_; }

 private:
  TemporaryFolder temporary_;
};

// C08, C25: sizes that are each allowed, and that no tensor has.
TEST(MalformedConfig, TheLargestSizesAreComparedNotAllocated) {
  const Folder folder(R"({"num_hidden_layers": 10000, "hidden_size": 1048576, "head_dim": 8,
      "num_attention_heads": 131072, "num_key_value_heads": 131072, "intermediate_size": 16777216,
      "vocab_size": 16777216, "max_position_embeddings": 1073741824})");
  const auto open = [&] { ModelFolder::open(folder.path()); };
  expect_bounded("CFG_TENSOR_MISSING", 128 * kMebibyte, 5, open);
  const ErrorInfo error = expect_error("CFG_TENSOR_MISSING", open);
  EXPECT_TRUE(contains(error.message, "4 problems"));
  EXPECT_TRUE(contains(error.message,
                       "config.json: hidden_size is 1048576, but the tensors have "
                       "32"));
  EXPECT_LT(error.message.size(), 20'000U) << "the first of them, and how many there are";
}

// C14, C15, C20, C26: told, or nobody's business; no path of the file is ever opened.
TEST(MalformedConfig, WhatIsOnlyToldLeavesTheModelWhole) {
  const Folder folder(R"({"_name_or_path": "../../../etc", "_commit_hash": "/dev/zero",
      "custom_pipelines": {"run": {"impl": "evil.Run"}}, "torch_dtype": "float\u001b[2J",
      "zzz": {"deep": [[[[[[[[1]]]]]]]]}})");
  const ModelFolder model = ModelFolder::open(folder.path());
  const std::string config = folder.path() + "/config.json";
  EXPECT_EQ(model.notices(),
            (std::vector<std::string>{
                config + ": \"custom_pipelines\" ignored; custom code is never run",
                config + ": no tensor is float\\u{1b}[2J, as its dtype says; the tensors' own "
                         "dtypes count"}));
  EXPECT_EQ(model.config().n_layers, 2);
  EXPECT_TRUE(contains(rewrite_config(*model.config().family, model.config_text(), 2, "", config),
                       "\"_name_or_path\": \"../../../etc\""))
      << "kept as it is";
  // auto_map names a file that would be run: it lies there, and nothing comes of it.
  const Folder code(R"({"auto_map": {"AutoModel": "../evil.Model"}})");
  code.around().write("evil.py", "open('ran', 'w')");
  const std::string before = read_tree(code.around().path());
  EXPECT_NO_THROW(ModelFolder::open(code.path()));
  EXPECT_TRUE(read_tree(code.around().path()) == before);
}

// C16: packed integers are no weights, whether config.json says so or not.
TEST(MalformedConfig, PackedIntegersAreNotReadAsWeights) {
  std::vector<TensorData> tensors = tiny_tensors({});
  for (TensorData& tensor : tensors) {
    if (tensor.spec.name.ends_with("q_proj.weight")) tensor.spec.dtype = Dtype::kI32;
  }
  const Folder folder("{}");
  fs::remove(folder.path() + "/model.safetensors");
  write_tensors(folder.path(), tensors, 1);
  EXPECT_TRUE(
      contains(expect_error("CFG_TENSOR_DTYPE", [&] { ModelFolder::open(folder.path()); }).message,
               "q_proj.weight"));
}

}  // namespace
}  // namespace regroup::testing
