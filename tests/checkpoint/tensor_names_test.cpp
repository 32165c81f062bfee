// Tensors under other names than the table's, and folders with one thing wrong in every tensor.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/model_folder.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

using Tensors = std::vector<TensorData>;
using Metadata = std::map<std::string, std::string>;

/// A model in one file, written after `change`.
struct Changed {
  explicit Changed(TinyModelSpec spec, const std::function<void(Tensors&)>& change = {},
                   const Metadata& metadata = {{"format", "pt"}}) {
    Tensors tensors = tiny_tensors(spec);
    if (change) change(tensors);
    folder.write("config.json", tiny_config(spec));
    folder.write("model.safetensors", safetensors_bytes(tensors, metadata));
  }
  ModelFolder open() const { return ModelFolder::open(folder.path()); }
  /// The whole text a user reads, which must be one line.
  template <typename E = CheckpointError>
  std::string sentence(const char* code) const {
    const ErrorInfo error = expect_error<E>(code, [&] { open(); });
    EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
    EXPECT_NE(error.hint, "");
    return error.message + " (" + error.hint + ")";
  }
  void config(const std::function<void(Json&)>& change) const {
    Json root = Json::parse(read_file(folder / "config.json"));
    change(root);
    folder.write("config.json", root.dump());
  }
  TemporaryFolder folder;
};

void rename_all(Tensors& tensors, const std::function<std::string(std::string)>& name) {
  for (TensorData& tensor : tensors) tensor.spec.name = name(tensor.spec.name);
}

std::string without_model(const std::string& name) {
  return name.starts_with("model.") ? name.substr(6) : name;
}

std::string read_tensor(const ModelFolder& model, const std::string& name) {
  std::string bytes(static_cast<size_t>(model.locate(name).info->bytes()), '?');
  model.read(name, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

TEST(OtherNames, ABaseModelsNamesAreRead) {
  const Changed c({}, [](Tensors& t) { rename_all(t, without_model); });
  const ModelFolder model = c.open();
  for (const TensorData& tensor : tiny_tensors({})) {
    EXPECT_EQ(read_tensor(model, tensor.spec.name), tensor.bytes) << tensor.spec.name;
  }
  ASSERT_EQ(model.notices().size(), 1U);
  EXPECT_TRUE(contains(model.notices()[0], "names without \"model.\" are read"));
}

TEST(OtherNames, TheTiedHeadMayBeTheCopyThatWasKept) {
  const TinyModelSpec spec{.tie_word_embeddings = true};
  const auto keep_head = [](Tensors& t) { t.front().spec.name = "lm_head.weight"; };
  for (const Metadata& metadata :
       {Metadata{{"format", "pt"}, {"model.embed_tokens.weight", "lm_head.weight"}}, Metadata{}}) {
    const Changed c(spec, keep_head, metadata);
    const ModelFolder model = c.open();
    EXPECT_EQ(model.tensors().size(), 20U);
    EXPECT_EQ(read_tensor(model, "model.embed_tokens.weight"), tiny_tensors(spec).front().bytes);
    ASSERT_EQ(model.notices().size(), 1U);
    EXPECT_TRUE(
        contains(model.notices()[0], "lm_head.weight stands for model.embed_tokens.weight"));
  }
}

TEST(OtherNames, MetadataSaysWhichTensorStandsForWhich) {
  const char* shared = "model.layers.0.mlp.up_proj.weight";
  const char* dropped = "model.layers.1.mlp.up_proj.weight";
  const auto drop = [&](Tensors& t) {
    std::erase_if(t, [&](const TensorData& tensor) { return tensor.spec.name == dropped; });
  };
  const Changed c({}, drop, {{dropped, shared}});
  EXPECT_EQ(read_tensor(c.open(), dropped), read_tensor(c.open(), shared));
  const Changed wrong({}, drop, {{dropped, "model.norm.weight"}});
  EXPECT_TRUE(contains(wrong.sentence("CFG_TENSOR_SHAPE"), dropped));
}

TEST(OtherNames, AWrappersPrefixIsOneSentence) {
  const std::pair<const char*, const char*> cases[] = {
      {"_orig_mod.", "torch.compile"},        {"module.", "DistributedDataParallel"},
      {"module._orig_mod.", "torch.compile"}, {"model.", "a wrapper"},
      {"language_model.", "multimodal"},      {"student.", "a wrapper"},
  };
  for (const auto& [prefix, who] : cases) {
    SCOPED_TRACE(prefix);
    const Changed c({}, [&](Tensors& t) {
      rename_all(t, [&](const std::string& name) { return prefix + name; });
    });
    const std::string text = c.sentence("CFG_TENSOR_PREFIX");
    EXPECT_TRUE(contains(text, "behind the prefix \"" + std::string(prefix) + "\""));
    EXPECT_TRUE(contains(text, who));
  }
  const Changed base({}, [](Tensors& t) {
    rename_all(t, [](const std::string& name) { return "module." + without_model(name); });
  });
  EXPECT_TRUE(contains(base.sentence("CFG_TENSOR_PREFIX"), "behind the prefix \"module.\""));
}

TEST(OtherNames, WeightsOfAnotherKindAreOneSentence) {
  const auto named = [](const char* pattern) {
    return Changed({}, [&](Tensors& t) {
      int number = 0;
      rename_all(t, [&](const std::string&) {
        std::string name = pattern;
        return name.replace(name.find('#'), 1, std::to_string(number++));
      });
    });
  };
  EXPECT_TRUE(contains(named("gpt_neox.layers.#.x.weight").sentence("CFG_TENSOR_MISSING"),
                       "found those of GPT-NeoX, such as gpt_neox.layers.0.x.weight"));
  EXPECT_TRUE(
      contains(named("blob.#").sentence("CFG_TENSOR_MISSING"), "found 21 others, such as blob.0"));
  EXPECT_TRUE(contains(
      named("model.layers.#.self_attn.q_proj.qweight").sentence<UnsupportedError>("CFG_QUANTIZED"),
      "quantized weights are not supported"));
  EXPECT_TRUE(contains(named("model.layers.#.q_proj.lora_A.weight").sentence("CFG_TENSOR_MISSING"),
                       "an adapter that was not merged"));
}

// Names that one family has for its own are no sign of another: what is missing is said.
TEST(OtherNames, AFamilysOwnNamesAreNotForeign) {
  for (const char* type : {"falcon", "internlm2"}) {
    const Changed model({.model_type = type, .n_kv_heads = 2}, [](Tensors& t) {
      std::erase_if(t, [](const TensorData& tensor) {
        return !contains(tensor.spec.name, "query_key_value") &&
               !contains(tensor.spec.name, "wqkv");
      });
    });
    const std::string said =
        expect_error<CheckpointError>("CFG_TENSOR_MISSING", [&] { model.open(); }).message;
    EXPECT_FALSE(contains(said, "found those of")) << said;
    EXPECT_TRUE(contains(said, "but is missing")) << said;
  }
}

TEST(Grouped, OneThingWrongInEveryTensorIsOneSentence) {
  const Changed bytes({.n_layers = 12}, [](Tensors& t) {
    for (TensorData& tensor : t) {
      tensor.spec.dtype = Dtype::kI8;
      tensor.bytes.resize(tensor.bytes.size() / 4);
    }
  });
  const std::string dtype = bytes.sentence("CFG_TENSOR_DTYPE");
  EXPECT_TRUE(contains(dtype, "must be F16, BF16, F32 or F64, found I8"));
  EXPECT_TRUE(contains(dtype, "model.layers.{0-11}.input_layernorm.weight"));
  const Changed role({.n_layers = 12}, [](Tensors& t) {
    std::erase_if(t, [](const TensorData& tensor) {
      return tensor.spec.name.ends_with("mlp.up_proj.weight");
    });
  });
  EXPECT_TRUE(
      contains(role.sentence("CFG_TENSOR_MISSING"), "model.layers.{0-11}.mlp.up_proj.weight"));
  const Changed hole({.n_layers = 12}, [](Tensors& t) {
    std::erase_if(t, [](const TensorData& tensor) {
      return tensor.spec.name == "model.layers.3.mlp.up_proj.weight" ||
             tensor.spec.name == "model.layers.7.mlp.up_proj.weight";
    });
  });
  EXPECT_TRUE(
      contains(hole.sentence("CFG_TENSOR_MISSING"), "model.layers.{3,7}.mlp.up_proj.weight"));
  const Changed extra({.n_layers = 12}, [](Tensors& t) {
    for (int i = 0; i < 12; ++i) {
      t.push_back(
          {{"model.layers." + std::to_string(i) + ".self_attn.q_norm.weight", Dtype::kF32, {1}},
           "1234"});
    }
  });
  EXPECT_TRUE(contains(extra.sentence("CFG_TENSOR_UNEXPECTED"),
                       "model.layers.{0-11}.self_attn.q_norm.weight\": is no tensor of"));
}

struct KeyCase {
  const char* key;
  std::function<void(Json&)> change;
  const char* code;
  const char* says;
};

TEST(Grouped, AConfigThatDisagreesNamesFileAndKey) {
  const KeyCase cases[] = {
      {"more layers", [](Json& c) { c["num_hidden_layers"] = 32; }, "CFG_TENSOR_MISSING",
       "num_hidden_layers is 32, but the tensors are those of 2 layers (set num_hidden_layers to "
       "2"},
      {"fewer layers", [](Json& c) { c["num_hidden_layers"] = 1; }, "CFG_TENSOR_UNEXPECTED",
       "num_hidden_layers is 1, but the tensors are those of 2 layers"},
      {"vocabulary", [](Json& c) { c["vocab_size"] = 70; }, "CFG_TENSOR_SHAPE",
       "vocab_size is 70, but the tensors have 64 (model.embed_tokens.weight is [64, 32])"},
      {"MLP", [](Json& c) { c["intermediate_size"] = 64; }, "CFG_TENSOR_SHAPE",
       "intermediate_size is 64, but the tensors have 48"},
      {"hidden", [](Json& c) { c["hidden_size"] = 64; }, "CFG_TENSOR_SHAPE",
       "hidden_size is 64, but the tensors have 32"},
      {"hidden, and heads that follow from it",
       [](Json& c) { c["hidden_size"] = 64, c.erase("head_dim"); }, "CFG_TENSOR_SHAPE",
       "hidden_size is 64, but the tensors have 32"},
      {"KV heads", [](Json& c) { c["num_key_value_heads"] = 2; }, "CFG_TENSOR_SHAPE",
       "num_key_value_heads is 2, but the tensors have 4"},
      {"heads", [](Json& c) { c["num_attention_heads"] = 8; }, "CFG_TENSOR_SHAPE",
       "num_attention_heads is 8, but the tensors have 4"},
      {"head size", [](Json& c) { c["head_dim"] = 16; }, "CFG_TENSOR_SHAPE",
       "head_dim is 16, but the tensors have 8"},
      {"biases", [](Json& c) { c["attention_bias"] = true; }, "CFG_TENSOR_MISSING",
       "attention_bias is true, but there are no such biases"},
      {"MLP biases", [](Json& c) { c["mlp_bias"] = true; }, "CFG_TENSOR_MISSING",
       "mlp_bias is true, but there are no such biases"},
      {"a head", [](Json& c) { c["tie_word_embeddings"] = true; }, "CFG_TIE",
       "tie_word_embeddings true"},
  };
  for (const KeyCase& c : cases) {
    SCOPED_TRACE(c.key);
    const Changed model({});
    model.config(c.change);
    const std::string text = model.sentence(c.code);
    EXPECT_TRUE(contains(text, c.says));
    if (c.code != std::string("CFG_TIE")) {
      EXPECT_TRUE(text.starts_with(model.folder / "config.json: ")) << text;
    }
  }
  const Changed biased({.attention_bias = true});
  biased.config([](Json& c) { c["attention_bias"] = false; });
  EXPECT_TRUE(contains(biased.sentence("CFG_TENSOR_UNEXPECTED"),
                       "attention_bias must be true, as the weights have biases"));
  for (const auto& [family, key] :
       {std::pair("cohere", "use_qk_norm"), std::pair("stablelm", "qk_layernorm")}) {
    SCOPED_TRACE(family);
    const Changed plain({.model_type = family});
    plain.config([&](Json& c) { c[key] = true; });
    EXPECT_TRUE(
        contains(plain.sentence("CFG_TENSOR_MISSING"),
                 fmt::format("{} is true, but there are no such norms of queries and keys", key)));
    const Changed normed({.model_type = family, .extra_config = {{key, true}}});
    normed.config([&](Json& c) { c[key] = false; });
    EXPECT_TRUE(contains(
        normed.sentence("CFG_TENSOR_UNEXPECTED"),
        fmt::format("{} must be true, as the weights have norms of queries and keys", key)));
  }
}

TEST(LeftOut, ScalesOfAQuantizedCache) {
  const Changed c({}, [](Tensors& t) {
    for (const char* name : {"0.self_attn.k_scale", "0.self_attn.v_scale", "1.self_attn.k_scale",
                             "1.self_attn.v_proj.output_scale"}) {
      t.push_back({{std::string("model.layers.") + name, Dtype::kF32, {}}, "1234"});
    }
  });
  const ModelFolder model = c.open();
  ASSERT_EQ(model.warnings().size(), 1U);
  EXPECT_TRUE(contains(model.warnings()[0], "4 scales of a quantized KV cache"));
  EXPECT_TRUE(contains(model.warnings()[0], "merged heads need new scales"));
}

TEST(LeftOut, AnAdapterBesideTheModel) {
  const Changed c({});
  EXPECT_TRUE(c.open().warnings().empty());
  c.folder.write("adapter_config.json", "{}");
  ASSERT_EQ(c.open().warnings().size(), 1U);
  EXPECT_TRUE(contains(c.open().warnings()[0], "is not part of the result"));
}

TEST(Index, MayNameTheOneFile) {
  const Changed c({});
  Json map = Json::object();
  for (const TensorData& tensor : tiny_tensors({})) map[tensor.spec.name] = "model.safetensors";
  const auto write_index = [&] {
    c.folder.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  };
  write_index();
  EXPECT_EQ(c.open().shard_names(), std::vector<std::string>{"model.safetensors"});
  map.erase("model.norm.weight");  // what it says is checked as always
  write_index();
  EXPECT_TRUE(contains(c.sentence("IDX_TENSOR_EXTRA"), "model.norm.weight"));
  for (auto& [name, file] : map.items()) file = "other.safetensors";
  write_index();
  expect_error("AMBIGUOUS_INPUT", [&] { c.open(); });
}

TEST(Index, NeedNotNameAShardWithoutTensors) {
  TemporaryFolder folder;
  write_tiny_model(folder.path(), {.n_shards = 2});
  folder.write("model-00003-of-00003.safetensors", safetensors_bytes({}));
  EXPECT_EQ(ModelFolder::open(folder.path()).shard_names().size(), 2U);
}

TEST(Doubles, AreReadAndCastDown) {
  const Changed c({}, [](Tensors& t) {
    for (TensorData& tensor : t) {
      const auto n = tensor.bytes.size() / sizeof(float);
      std::string wide(n * sizeof(double), '\0');
      for (size_t i = 0; i < n; ++i) {
        float value = 0;
        std::memcpy(&value, tensor.bytes.data() + i * sizeof(float), sizeof(float));
        const double same = value;
        std::memcpy(wide.data() + i * sizeof(double), &same, sizeof(double));
      }
      tensor.bytes = wide;
      tensor.spec.dtype = Dtype::kF64;
    }
  });
  c.config([](Json& root) { root["torch_dtype"] = "float64"; });
  const ModelFolder model = c.open();
  EXPECT_EQ(model.dtype("model.norm.weight"), Dtype::kF32);
  EXPECT_EQ(model.notices(),
            std::vector<std::string>{c.folder.path() + ": 21 tensors are F64, cast down to F32"});
}

}  // namespace
}  // namespace regroup::testing
