// Folders of a class that shares no KV heads, read as folders of one that does: GPT-NeoX as Phi and StarCoder2.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/config_text.h"
#include "regroup/checkpoint/model_folder.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"
#include "written_family.h"

namespace regroup::testing {
namespace {

constexpr int64_t kHeads = 3;
constexpr int64_t kHeadDim = 4;
constexpr int64_t kHidden = kHeads * kHeadDim;
constexpr int64_t kWide = 20;

TinyModelSpec neox(Json extra = Json::object()) {
  return {.model_type = "gpt_neox",
          .n_layers = 2,
          .n_heads = kHeads,
          .n_kv_heads = kHeads,
          .head_dim = kHeadDim,
          .hidden_size = kHidden,
          .intermediate_size = kWide,
          .dtype = Dtype::kF16,
          .attention_bias = true,
          .n_shards = 2,
          .extra_config = [&] {
            extra.emplace("rotary_pct", 0.5);
            return extra;
          }()};
}

std::vector<double> values_of(const ModelFolder& folder, const std::string& name) {
  const TensorInfo& info = *folder.locate(name).info;
  std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
  folder.read(name, 0, bytes);
  std::vector<double> values(bytes.size() * 8 / static_cast<size_t>(dtype_bits(info.dtype)));
  widen(info.dtype, bytes, values);
  return values;
}

class WrittenFolder : public ::testing::Test {
 protected:
  ModelFolder open(const TinyModelSpec& spec) {
    write_tiny_model(folder_ / "in", spec);
    return ModelFolder::open_as_written(folder_ / "in");
  }
  /// A tensor of the folder as its files have it.
  std::vector<double> stored(const std::string& name) {
    return values_of(ModelFolder::open(folder_ / "in"), "gpt_neox.layers.1." + name);
  }
  TemporaryFolder folder_;
};

TEST_F(WrittenFolder, NormsOfAParallelNeoXAreFoldedIntoWhatReadsThem) {
  const ModelFolder folder = open(neox());
  EXPECT_EQ(folder.config().architecture, "PhiForCausalLM");
  EXPECT_EQ(folder.stored_config().architecture, "GPTNeoXForCausalLM");
  const std::vector<double> fused =
      stored("attention.query_key_value.weight");  // [H, 3, d, hidden]
  const std::vector<double> fused_bias = stored("attention.query_key_value.bias");
  const std::vector<double> gains = stored("input_layernorm.weight");
  const std::vector<double> shift = stored("input_layernorm.bias");
  const char* names[] = {"q_proj", "k_proj", "v_proj"};
  for (int64_t part = 0; part < 3; ++part) {
    const std::string name = std::string("model.layers.1.self_attn.") + names[part];
    EXPECT_TRUE(folder.is_computed(name + ".weight"));
    EXPECT_EQ(folder.dtype(name + ".weight"), Dtype::kF16);  // what is written
    const std::vector<double> weight = values_of(folder, name + ".weight");
    const std::vector<double> bias = values_of(folder, name + ".bias");
    for (int64_t row = 0; row < kHidden; ++row) {
      const int64_t from = (row / kHeadDim * 3 + part) * kHeadDim + row % kHeadDim;
      double sum = fused_bias[static_cast<size_t>(from)];
      for (int64_t c = 0; c < kHidden; ++c) {
        const double w = fused[static_cast<size_t>(from * kHidden + c)];
        EXPECT_EQ(weight[static_cast<size_t>(row * kHidden + c)],
                  static_cast<float>(w * gains[static_cast<size_t>(c)]));
        sum += w * shift[static_cast<size_t>(c)];
      }
      EXPECT_FLOAT_EQ(static_cast<float>(bias[static_cast<size_t>(row)]), static_cast<float>(sum));
    }
  }
  const std::vector<double> up = stored("mlp.dense_h_to_4h.weight");
  const std::vector<double> mlp_gains = stored("post_attention_layernorm.weight");
  const std::vector<double> fc1 = values_of(folder, "model.layers.1.mlp.fc1.weight");
  for (size_t i = 0; i < fc1.size(); ++i) {
    EXPECT_EQ(fc1[i], static_cast<float>(up[i] * mlp_gains[i % kHidden]));
  }
  EXPECT_EQ(values_of(folder, "model.layers.1.input_layernorm.weight"),
            std::vector<double>(kHidden, 1.0));
  EXPECT_EQ(values_of(folder, "model.layers.1.input_layernorm.bias"),
            std::vector<double>(kHidden, 0.0));
  EXPECT_EQ(values_of(folder, "lm_head.bias"), std::vector<double>(64, 0.0));
  EXPECT_EQ(folder.bytes_of("model.layers.1.mlp.fc1.weight"), 2 * kWide * kHidden);  // as F16
  // What no norm stands before is the parent's, byte for byte.
  EXPECT_TRUE(folder.is_stored("model.layers.1.mlp.fc2.weight"));
  EXPECT_EQ(values_of(folder, "model.layers.1.self_attn.dense.weight"),
            stored("attention.dense.weight"));
}

TEST_F(WrittenFolder, APieceOfAComputedTensorIsThatPiece) {
  const ModelFolder folder = open(neox());
  for (const char* name :
       {"model.layers.0.mlp.fc1.weight", "model.layers.0.self_attn.v_proj.weight",
        "model.layers.0.self_attn.k_proj.bias"}) {
    const std::vector<double> whole = values_of(folder, name);
    std::vector<std::byte> bytes(7 * sizeof(float));
    folder.read(name, 5 * sizeof(float), bytes);
    std::vector<double> piece(7);
    widen(Dtype::kF32, bytes, piece);
    EXPECT_EQ(piece, std::vector<double>(whole.begin() + 5, whole.begin() + 12)) << name;
  }
}

TEST_F(WrittenFolder, ASequentialNeoXKeepsItsNormsAndBytes) {
  const ModelFolder folder = open(neox({{"use_parallel_residual", false}, {"rotary_pct", 1.0}}));
  EXPECT_EQ(folder.config().architecture, "Starcoder2ForCausalLM");
  const std::vector<double> fused = stored("attention.query_key_value.weight");
  const std::vector<double> keys = values_of(folder, "model.layers.1.self_attn.k_proj.weight");
  for (int64_t row = 0; row < kHidden; ++row) {
    const int64_t from = (row / kHeadDim * 3 + 1) * kHeadDim + row % kHeadDim;
    for (int64_t c = 0; c < kHidden; ++c) {
      EXPECT_EQ(keys[static_cast<size_t>(row * kHidden + c)],
                fused[static_cast<size_t>(from * kHidden + c)]);
    }
  }
  for (const ExpectedTensor& tensor : folder.tensors()) {
    EXPECT_FALSE(folder.is_computed(tensor.name)) << tensor.name;
  }
  EXPECT_FALSE(folder.is_stored("model.layers.1.self_attn.k_proj.weight"));  // its rows are apart
  EXPECT_EQ(values_of(folder, "model.layers.1.post_attention_layernorm.bias"),
            stored("post_attention_layernorm.bias"));
}

TEST_F(WrittenFolder, WithoutBiasesTheyAreWhatTheNormAdds) {
  TinyModelSpec spec = neox();
  spec.attention_bias = false;
  const ModelFolder folder = open(spec);
  const std::vector<double> shift = stored("input_layernorm.bias");
  const std::vector<double> fused = stored("attention.query_key_value.weight");
  double sum = 0;
  for (size_t c = 0; c < kHidden; ++c) sum += fused[c] * shift[c];  // the first row of queries
  EXPECT_FLOAT_EQ(
      static_cast<float>(values_of(folder, "model.layers.1.self_attn.q_proj.bias").front()),
      static_cast<float>(sum));
  EXPECT_EQ(values_of(folder, "model.layers.1.self_attn.dense.bias"),
            std::vector<double>(kHidden, 0.0));
}

TEST_F(WrittenFolder, WhatTheWrittenClassCannotHoldIsRefused) {
  write_tiny_model(folder_ / "in", neox({{"use_parallel_residual", false}}));
  const ErrorInfo error = expect_error<UnsupportedError>(
      "CFG_UNSUPPORTED", [&] { ModelFolder::open_as_written(folder_ / "in"); });
  EXPECT_EQ(error.message,
            (folder_ / "in") +
                "/config.json: GPTNeoXForCausalLM shares no KV heads, so its conversions are "
                "written as Starcoder2ForCausalLM, whose RoPE must turn all 4 channels of a head, "
                "found 2");
  EXPECT_EQ(error.hint,
            "`regroup eval`, `regroup uptrain` and `regroup generate` take the model as it is");
}

/// Pythia-160M's config.json with `changes` put in place.
std::string pythia(const Json& changes = Json::object()) {
  Json config = Json::parse(R"({"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0,
    "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": 768, "initializer_range": 0.02,
    "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
    "model_type": "gpt_neox", "num_attention_heads": 12, "num_hidden_layers": 12,
    "torch_dtype": "float16", "use_cache": true, "use_parallel_residual": true,
    "vocab_size": 50304})");
  config.update(changes);
  return config.dump();
}

TEST(RenamedClass, PythiaIsAPhiInBothSpellings) {
  const std::string spellings[] = {
      pythia({{"rotary_emb_base", 10000}, {"rotary_pct", 0.25}}),
      pythia(
          {{"rope_parameters",
            {{"rope_theta", 10000.0}, {"rope_type", "default"}, {"partial_rotary_factor", 0.25}}}}),
      pythia()};
  for (const std::string& text : spellings) {
    SCOPED_TRACE(text);
    const ModelConfig parent = parse(text);
    EXPECT_EQ(parent.rotary_dim, 16);
    EXPECT_TRUE(parent.parallel && parent.own_mlp_norm && parent.qkv_bias);
    const std::string renamed = rename_class(parent, text, "config.json");
    const Json json = Json::parse(renamed);
    EXPECT_EQ(json["model_type"], "phi");
    EXPECT_EQ(json["hidden_act"], "gelu");
    EXPECT_EQ(json["partial_rotary_factor"], 0.25);
    EXPECT_EQ(json["rope_theta"], 10000.0);
    for (const char* gone : {"rotary_pct", "rotary_emb_base", "use_parallel_residual"}) {
      EXPECT_FALSE(json.contains(gone)) << gone;
    }
    const ModelConfig phi = parse(renamed);
    EXPECT_EQ(phi.architecture, "PhiForCausalLM");
    EXPECT_EQ(phi.rotary_dim, 16);
    EXPECT_EQ(phi.activation, Activation::kGelu);
    EXPECT_FALSE(phi.own_mlp_norm);
  }
}

TEST(RenamedClass, SaysWhatTheOtherClassWouldTakeADefaultFor) {
  const std::string sequential = pythia({{"rotary_pct", 1.0},
                                         {"rotary_emb_base", 25000},
                                         {"use_parallel_residual", false},
                                         {"hidden_act", "gelu_fast"}});
  const ModelConfig parent = parse(sequential);
  const ModelConfig after = parse(rename_class(parent, sequential, "config.json"));
  EXPECT_EQ(after.architecture, "Starcoder2ForCausalLM");
  EXPECT_FALSE(after.tie_word_embeddings);
  EXPECT_EQ(after.activation, Activation::kGeluTanh);
  EXPECT_EQ(after.rope.theta, 25000);
  EXPECT_EQ(after.norm_eps, 1e-5);
  EXPECT_TRUE(after.qkv_bias && after.output_bias && after.mlp_bias);
}

// Keys that the parent's class does not read mean something in the other one.
TEST(RenamedClass, WhatOnlyTheOtherClassReadsIsNotTaken) {
  const Json junk = {
      {"qk_layernorm", true},        {"sliding_window", 16}, {"layer_types", {"sliding_attention"}},
      {"use_bias", false},           {"rope_theta", 5.0},    {"norm_epsilon", 0.5},
      {"partial_rotary_factor", 0.5}};
  Json parallel = junk;
  parallel.update({{"rope_parameters", {{"partial_rotary_factor", 0.26}, {"rope_theta", 300.0}}}});
  Json sequential = junk;
  sequential.update({{"use_parallel_residual", false},
                     {"intermediate_size", nullptr},
                     {"max_position_embeddings", nullptr},
                     {"tie_word_embeddings", nullptr},
                     {"rope_parameters", {{"partial_rotary_factor", 1.001}}}});
  for (const Json& changes : {parallel, sequential}) {
    SCOPED_TRACE(changes.dump());
    const ModelConfig parent = parse(pythia(changes));
    const ModelConfig after = parse(rename_class(parent, pythia(changes), "config.json"));
    const ModelConfig wanted = written_config(parent);
    EXPECT_EQ(after.architecture, wanted.architecture);
    EXPECT_EQ(after.rotary_dim, wanted.rotary_dim);
    EXPECT_EQ(after.rope.theta, wanted.rope.theta);
    EXPECT_EQ(after.norm_eps, wanted.norm_eps);
    EXPECT_EQ(after.max_positions, wanted.max_positions);
    EXPECT_EQ(after.intermediate_size, wanted.intermediate_size);
    EXPECT_EQ(after.tie_word_embeddings, wanted.tie_word_embeddings);
    EXPECT_EQ(after.sliding_window, std::nullopt);
    EXPECT_EQ(after.qkv_bias, wanted.qkv_bias);
    EXPECT_EQ(after.mlp_bias, wanted.mlp_bias);
    EXPECT_EQ(after.attention.qk_norm, QkNorm::kNone);
    EXPECT_EQ(after.bos_token_id, wanted.bos_token_id);
    EXPECT_EQ(after.eos_token_ids, wanted.eos_token_ids);
  }
}

TEST(RenamedClass, TheShareThatIsTurnedComesBack) {
  for (const int64_t head_dim : {10, 32, 64, 80, 96, 98, 128, 256}) {
    ModelConfig config = parse(pythia());
    config.head_dim = head_dim;
    for (int64_t turned = 2; turned <= head_dim; turned += 2) {
      config.rotary_dim = turned;
      const Json json = Json::parse(rename_class(config, pythia(), "config.json"));
      const auto share = json["partial_rotary_factor"].get<double>();
      EXPECT_EQ(static_cast<int64_t>(static_cast<double>(head_dim) * share), turned) << head_dim;
    }
  }
}

TEST(RenamedClass, ItsOwnClassHasNoFewerKvHeads) {
  const ErrorInfo error = expect_error("CFG_INCONSISTENT", [] {
    parse(pythia({{"num_key_value_heads", 4}}));
  });
  EXPECT_EQ(error.message,
            "config.json: num_key_value_heads must be num_attention_heads=12 for "
            "GPTNeoXForCausalLM, which shares no KV heads, found 4");
}

TEST(RenamedClass, TwoSharesMustAgree) {
  const ErrorInfo error = expect_error("CFG_INCONSISTENT", [] {
    parse(pythia({{"rotary_pct", 0.5}, {"rope_parameters", {{"partial_rotary_factor", 0.25}}}}));
  });
  EXPECT_EQ(error.message,
            "config.json: partial_rotary_factor in rope_parameters and rotary_pct beside it must "
            "be the same, found 0.25 and 0.5");
}

}  // namespace
}  // namespace regroup::testing
