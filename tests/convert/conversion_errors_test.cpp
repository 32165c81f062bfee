// A conversion that cannot be right ends with a message and leaves no folder that looks finished.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "convert/convert_tools.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ConversionErrors, NonfiniteWeights) {
  struct Case {
    const char* tensor;
    size_t element;
    double value;
    Dtype dtype;
  };
  const Case cases[] = {
      {"model.embed_tokens.weight", 5, kNan, Dtype::kF32},                       // copied
      {"model.layers.1.self_attn.k_proj.weight", 700, kInfinity, Dtype::kBF16},  // merged
      {"model.layers.0.self_attn.v_proj.weight", 0, -kInfinity, Dtype::kF16},
      {"lm_head.weight", 64 * 32 - 1, kNan, Dtype::kBF16},
  };
  for (const Case& c : cases) {
    for (const char* method : {"mean", "first", "random"}) {
      SCOPED_TRACE(std::string(c.tensor) + " by " + method);
      const TemporaryFolder temporary;
      const TinyModelSpec spec{.dtype = c.dtype};
      std::vector<double> values;
      for (const TensorData& tensor : tiny_tensors(spec)) {
        if (tensor.spec.name == c.tensor) values = tiny_values(spec, c.tensor, tensor.spec.shape);
      }
      values[c.element] = c.value;
      write_model_with(temporary / "in", spec, {{c.tensor, values}});
      const ErrorInfo error = expect_error("VAL_NONFINITE", [&] {
        convert(temporary / "in", temporary / "out", 2, {.method = parse_method(method)});
      });
      EXPECT_EQ(error.message, temporary / "in: tensor \"" + c.tensor +
                                   "\": weights must be finite, found NaN or infinity at element " +
                                   std::to_string(c.element));
      EXPECT_EQ(error.hint,
                "the checkpoint is damaged; `allow-nonfinite` converts it all the same");
      EXPECT_FALSE(path_exists(temporary / "out"));
    }
  }
}

// Allowed, a NaN stays a NaN where it was and spreads to its group's mean only.
TEST(ConversionErrors, NonfiniteWeightsOnRequest) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1, .head_dim = 2, .hidden_size = 1};
  write_model_with(temporary / "in", spec,
                   {{in_layer_0("k_proj.weight"), {1, 2, 3, kNan, 5, 6, 7, 8}}});
  convert(temporary / "in", temporary / "out", 2,
          {.method = Method::kMean, .allow_nonfinite = true});
  const auto k = stored_values(temporary / "out", in_layer_0("k_proj.weight"));
  EXPECT_EQ(k[0], 2);  // (1 + 3) / 2
  EXPECT_TRUE(std::isnan(k[1]));
  EXPECT_EQ(k[2], 6);
  EXPECT_EQ(k[3], 7);
}

TEST(ConversionErrors, KvHeads) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {.n_heads = 6, .n_kv_heads = 6});
  struct Case {
    int64_t n_kv_heads;
    const char* message;
  };
  const Case cases[] = {
      {4, "`kv-heads` must divide the model's 6 key/value heads, found 4"},
      {0, "`kv-heads` must divide the model's 6 key/value heads, found 0"},
      {-2, "`kv-heads` must divide the model's 6 key/value heads, found -2"},
      {12, "`kv-heads` must not exceed the model's 6 key/value heads, found 12"},
  };
  for (const Case& c : cases) {
    const ErrorInfo error = expect_error<ConfigError>(
        "KV_HEADS", [&] { convert(temporary / "in", temporary / "out", c.n_kv_heads); });
    EXPECT_EQ(error.message, c.message);
    EXPECT_EQ(error.hint, "choose one of 1, 2, 3, 6");
  }
}

TEST(ConversionErrors, Options) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  struct Case {
    ConvertOptions options;
    const char* message;
  };
  const Case cases[] = {
      {{.method = Method::kMean, .dtype = "int8"},
       "`dtype` must be keep, bf16, f16 or f32, found int8"},
  };
  for (const Case& c : cases) {
    const ErrorInfo error = expect_error<ConfigError>(
        "FLAG_VALUE", [&] { convert(temporary / "in", temporary / "out", 2, c.options); });
    EXPECT_EQ(error.message, c.message);
  }
  const ErrorInfo error = expect_error<ConfigError>("FLAG_VALUE", [] { parse_grouping("cosine"); });
  EXPECT_EQ(error.message,
            "`grouping` must be one of contiguous, similarity, residual, found cosine");
}

TEST(ConversionErrors, WhereOutMayBe) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  std::filesystem::create_directory(temporary / "there");
  const std::pair<const char*, const char*> cases[] = {
      {"there", "OUTPUT_EXISTS"},
      {"in", "OUTPUT_IS_INPUT"},
      {"in/out", "OUTPUT_IS_INPUT"},
      {"absent/out", "OUTPUT_PARENT"},
  };
  for (const auto& [out, code] : cases) {
    expect_error<ConfigError>(code, [&] { convert(temporary / "in", temporary / out, 2); });
  }
  EXPECT_EQ(std::filesystem::directory_iterator(temporary / "there"),
            std::filesystem::directory_iterator());
}

// The parent changes while it is read: once at the first report of progress, when the first tensor is
// done and no shard may be kept, and once when every shard is.
TEST(ConversionErrors, SourceChanged) {
  const std::pair<const char*, std::function<void(const std::string&)>> changes[] = {
      {"longer", [](const std::string& path) { write_file(path, read_file(path) + "x"); }},
      {"shorter", [](const std::string& path) { std::filesystem::resize_file(path, 4000); }},
      {"same size, other bytes",
       [](const std::string& path) {
         std::string bytes = read_file(path);
         bytes.back() ^= 1;
         write_file(path, bytes);
         std::filesystem::last_write_time(
             path, std::filesystem::last_write_time(path) + std::chrono::seconds(3));
       }},
  };
  for (const auto& [why, change] : changes) {
    SCOPED_TRACE(why);
    for (const bool late : {false, true}) {
      const TemporaryFolder temporary;
      write_tiny_model(temporary / "in", {.n_shards = 2});
      const std::string shard = temporary / "in/model-00002-of-00002.safetensors";
      bool changed = false;
      const ErrorInfo error = expect_error("SRC_CHANGED", [&] {
        convert(temporary / "in", temporary / "out", 2, {.method = Method::kMean},
                [&](int64_t done, int64_t total) {
                  const bool kept =
                      path_exists(temporary / "out.partial/model-00002-of-00002.safetensors");
                  if (changed || (late && !kept)) return;
                  change(shard);
                  changed = true;
                  EXPECT_EQ(done == total, late);
                });
      });
      EXPECT_TRUE(changed);
      EXPECT_EQ(error.path, shard);
      EXPECT_FALSE(path_exists(temporary / "out"));
      EXPECT_EQ(path_exists(temporary / "out.partial/model-00001-of-00002.safetensors"), late);
    }
  }
}

TEST(ConversionErrors, TheTransformMustFit) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  LayerTransform t = identity_transform(ModelFolder::open(temporary / "in").config());
  t.permutation = {0, 0, 1, 2};
  expect_error<ConfigError>("TRANSFORM", [&] {
    convert_by({t, t}, temporary / "in", temporary / "out", 2);
  });
  // Two layers need two transforms.
  t.permutation = {0, 1, 2, 3};
  const ErrorInfo error = expect_error<ConfigError>(
      "TRANSFORM", [&] { convert_by({t}, temporary / "in", temporary / "out", 2); });
  EXPECT_EQ(error.message, "transforms must be given for 2 layers, found 1");
}

}  // namespace
}  // namespace regroup::testing
