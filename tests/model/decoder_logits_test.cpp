// Our logits against those of transformers, on random models whose sizes all differ.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup::testing {
namespace {

using Json = nlohmann::ordered_json;

struct Case {
  const char* why;
  TinyModelSpec spec;
  int64_t seq = 17;
};

Json scaling(Json dict) { return {{"rope_scaling", std::move(dict)}}; }
Json parameters(Json dict) {
  return {{"rope_theta", nullptr}, {"rope_parameters", std::move(dict)}};
}

std::vector<Case> cases() {
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 32}};
  const Json yarn = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}};
  const Json yarn_given = {
      {"rope_type", "yarn"},     {"factor", 4.0},    {"original_max_position_embeddings", 32},
      {"beta_fast", 16.0},       {"beta_slow", 2.0}, {"truncate", false},
      {"attention_factor", 1.25}};
  return {
      {"H 6, G 3, d 10", {.n_heads = 6, .n_kv_heads = 3, .head_dim = 10, .hidden_size = 36}},
      {"H 8, G 1, d 16", {.n_heads = 8, .n_kv_heads = 1, .head_dim = 16, .hidden_size = 40}},
      {"H 4, G 4, d 8", {.n_heads = 4, .n_kv_heads = 4, .head_dim = 8, .hidden_size = 28}},
      {"head_dim given", {.n_heads = 4, .n_kv_heads = 2, .head_dim = 24, .hidden_size = 32}},
      {"attention bias", {.n_kv_heads = 2, .attention_bias = true}},
      {"mlp bias", {.n_kv_heads = 2, .mlp_bias = true}},
      {"tied", {.n_kv_heads = 2, .tie_word_embeddings = true}},
      {"mistral", {.model_type = "mistral", .n_kv_heads = 2}},
      {"window", {.model_type = "mistral", .n_kv_heads = 2, .sliding_window = 5}},
      {"window as long as the text", {.model_type = "mistral", .sliding_window = 17}},
      {"window of 1", {.model_type = "mistral", .sliding_window = 1}},
      {"qwen2", {.model_type = "qwen2", .n_kv_heads = 2}},
      {"qwen2, later layers have a window",
       {.model_type = "qwen2", .n_layers = 3, .tie_word_embeddings = true, .sliding_window = 5}},
      {"stablelm", {.model_type = "stablelm", .n_kv_heads = 2}},
      {"stablelm, biases, a quarter turned",
       {.model_type = "stablelm",
        .attention_bias = true,
        .extra_config = {{"partial_rotary_factor", 0.25}, {"layer_norm_eps", 1e-3}}}},
      {"stablelm, stretched",
       {.model_type = "stablelm",
        .n_heads = 2,
        .n_kv_heads = 2,
        .head_dim = 16,
        .extra_config = {{"rope_parameters",
                          {{"rope_type", "linear"},
                           {"rope_theta", 1e4},
                           {"factor", 2.0},
                           {"partial_rotary_factor", 0.5}}}}}},
      {"stablelm, yarn",
       {.model_type = "stablelm",
        .n_heads = 2,
        .n_kv_heads = 2,
        .head_dim = 16,
        .extra_config = {{"rope_parameters",
                          {{"rope_type", "yarn"},
                           {"rope_theta", 1e4},
                           {"factor", 4.0},
                           {"original_max_position_embeddings", 32},
                           {"partial_rotary_factor", 0.5}}}}},
       60},
      {"stablelm, dynamic, long",
       {.model_type = "stablelm",
        .n_heads = 2,
        .n_kv_heads = 2,
        .head_dim = 16,
        .max_positions = 32,
        .extra_config = {{"rope_parameters",
                          {{"rope_type", "dynamic"},
                           {"rope_theta", 1e4},
                           {"factor", 2.0},
                           {"partial_rotary_factor", 0.5}}}}},
       60},
      {"theta", {.extra_config = {{"rope_theta", 1e6}}}, 60},
      {"linear", {.extra_config = scaling({{"type", "linear"}, {"factor", 4.0}})}, 60},
      {"dynamic, short",
       {.max_positions = 64, .extra_config = scaling({{"type", "dynamic"}, {"factor", 2.0}})},
       60},
      {"dynamic, long",
       {.max_positions = 32, .extra_config = scaling({{"type", "dynamic"}, {"factor", 2.0}})},
       60},
      {"llama3", {.extra_config = scaling(llama3)}, 60},
      {"yarn", {.extra_config = scaling(yarn)}, 60},
      {"yarn, everything given", {.extra_config = scaling(yarn_given)}, 60},
      {"bf16 stored", {.n_kv_heads = 2, .dtype = Dtype::kBF16}},
      {"f16 stored", {.n_kv_heads = 2, .dtype = Dtype::kF16, .n_shards = 2}},
  };
}

struct Precision {
  const char* name;  // as torch spells it
  at::ScalarType dtype;
  double tolerance;
};
// bfloat16 has 8 bits, and the order of roundings differs between the two.
constexpr Precision kPrecisions[] = {{"float32", at::kFloat, 1e-5},
                                     {"bfloat16", at::kBFloat16, 0.05}};

std::vector<int64_t> row_of(const at::Tensor& ids, int64_t row) {
  const int64_t* p = ids.data_ptr<int64_t>() + row * ids.size(1);
  return {p, p + ids.size(1)};
}

at::Tensor ids_of(const Case& c) { return random_ids(2, c.seq, c.spec.vocab_size, c.spec.seed); }

at::Tensor read_logits(const SafetensorsFile& file, size_t index, const Case& c) {
  at::Tensor logits = at::empty({2, c.seq, c.spec.vocab_size}, at::kFloat);
  file.read(*file.find(std::to_string(index)), 0,
            {static_cast<std::byte*>(logits.data_ptr()), logits.nbytes()});
  return logits;
}

TEST(DecoderLogits, EqualThoseOfTransformers) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  const std::vector<Case> all = cases();
  Json request = Json::array();
  for (const Precision& precision : kPrecisions) {
    for (size_t i = 0; i < all.size(); ++i) {
      const at::Tensor ids = ids_of(all[i]);
      write_tiny_model(temporary / std::to_string(i), all[i].spec);
      request.push_back({{"folder", temporary / std::to_string(i)},
                         {"ids", {row_of(ids, 0), row_of(ids, 1)}},
                         {"dtype", precision.name}});
    }
  }
  ASSERT_FALSE(ask_oracle("logits.py", temporary, request).is_null());
  const SafetensorsFile file(InputFile(temporary / "logits.safetensors"));
  for (const at::Device device : devices()) {
    size_t answer = 0;
    for (const Precision& precision : kPrecisions) {
      double worst = 0;
      for (size_t i = 0; i < all.size(); ++i) {
        const Decoder decoder = load_folder(temporary / std::to_string(i), precision.dtype, device);
        const double error = relative_error(all_logits(decoder, ids_of(all[i])),
                                            read_logits(file, answer++, all[i]));
        EXPECT_LE(error, precision.tolerance)
            << all[i].why << " in " << precision.name << " on " << device;
        worst = std::max(worst, error);
      }
      std::printf("%s, largest relative error: %.3g\n", precision.name, worst);
    }
  }
}

// The rope settings of transformers 5 say the same as those of 4.
TEST(DecoderLogits, BothSpellingsOfRope) {
  const Json dict = {{"rope_type", "linear"}, {"factor", 4.0}};
  Json with_theta = dict;
  with_theta["rope_theta"] = 5000.0;
  TinyModelSpec old_spelling{.extra_config = scaling(dict)};
  old_spelling.extra_config["rope_theta"] = 5000.0;
  const TinyModelSpec new_spelling{.extra_config = parameters(with_theta)};
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "old", old_spelling);
  write_tiny_model(temporary / "new", new_spelling);
  const at::Tensor ids = random_ids(1, 30, 64, 3);
  EXPECT_TRUE(all_logits(load_folder(temporary / "old"), ids)
                  .equal(all_logits(load_folder(temporary / "new"), ids)));
}

}  // namespace
}  // namespace regroup::testing
