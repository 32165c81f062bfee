// The merged values themselves, computed by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "convert/convert_tools.h"
#include "regroup/base/normal_stream.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

// [n_heads * head_dim, hidden]: row r holds values[r / head_dim] everywhere.
std::vector<double> heads_of(const std::vector<double>& values, int64_t head_size) {
  std::vector<double> all;
  for (const double value : values) all.insert(all.end(), static_cast<size_t>(head_size), value);
  return all;
}

// Four heads of two rows; row r of K holds 10 r, of V 10 r + 1. Neighbours merge:
//   K heads {0, 1}: (0 + 20) / 2, (10 + 30) / 2; heads {2, 3}: (40 + 60) / 2, (50 + 70) / 2.
// Pairing {0, 2} and {1, 3} instead would give 20, 30, 40, 50.
TEST(Merge, MeanOfNeighbouringHeads) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1, .head_dim = 2, .hidden_size = 3};
  std::vector<double> k;
  std::vector<double> v;
  for (int row = 0; row < 8; ++row) {
    k.insert(k.end(), 3, 10.0 * row);
    v.insert(v.end(), 3, 10.0 * row + 1);
  }
  write_model_with(temporary / "in", spec,
                   {{in_layer_0("k_proj.weight"), k}, {in_layer_0("v_proj.weight"), v}});
  convert(temporary / "in", temporary / "out", 2);
  EXPECT_EQ(stored_values(temporary / "out", in_layer_0("k_proj.weight")),
            (std::vector<double>{10, 10, 10, 20, 20, 20, 50, 50, 50, 60, 60, 60}));
  EXPECT_EQ(stored_values(temporary / "out", in_layer_0("v_proj.weight")),
            (std::vector<double>{11, 11, 11, 21, 21, 21, 51, 51, 51, 61, 61, 61}));
  for (const char* name : {"q_proj.weight", "o_proj.weight"}) {
    EXPECT_EQ(stored_bytes(temporary / "out", in_layer_0(name)),
              stored_bytes(temporary / "in", in_layer_0(name)));
  }
}

// 256 + 1 + 4 = 261, mean 87. Added in bfloat16 the sum is 260 (steps of 2 above 256), the mean
// 86.5. In float16 steps are fine, but 65504 + 65504 overflows a sum in float16: the mean is 65504.
TEST(Merge, AccumulatesInFloat64) {
  struct Case {
    Dtype dtype;
    std::vector<double> heads;
    double mean;
  };
  const Case cases[] = {
      {Dtype::kBF16, {256, 1, 4}, 87},
      {Dtype::kF16, {65504, 65504, 65504}, 65504},
      // 2^30 + 3 - 2^30 = 3; in float32 2^30 + 3 is 2^30 (steps of 128 there) and the mean 0.
      {Dtype::kF32, {0x1p30, 3, -0x1p30}, 1},
  };
  for (const Case& c : cases) {
    const TemporaryFolder temporary;
    const TinyModelSpec spec{.n_layers = 1,
                             .n_heads = 3,
                             .n_kv_heads = 3,
                             .head_dim = 2,
                             .hidden_size = 2,
                             .dtype = c.dtype};
    write_model_with(temporary / "in", spec, {{in_layer_0("k_proj.weight"), heads_of(c.heads, 4)}});
    convert(temporary / "in", temporary / "out", 1);
    EXPECT_EQ(stored_values(temporary / "out", in_layer_0("k_proj.weight")),
              std::vector<double>(4, c.mean))
        << dtype_name(c.dtype);
  }
}

// -0 + -0 is -0, but 0 + -0 is +0: the sum must not start from zero.
TEST(Merge, KeepsTheSignOfZero) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1, .head_dim = 2, .hidden_size = 3};
  const std::vector<double> k(24, -0.0);
  write_model_with(temporary / "in", spec, {{in_layer_0("k_proj.weight"), k}});
  for (const Method method : {Method::kMean, Method::kFirst}) {
    const std::string out = temporary / method_name(method);
    convert(temporary / "in", out, 2, {.method = method});
    for (const double value : stored_values(out, in_layer_0("k_proj.weight"))) {
      EXPECT_EQ(value, 0.0);
      EXPECT_TRUE(std::signbit(value)) << method_name(method);
    }
  }
}

// With float32 accumulation one value in six is off for m = 3.
TEST(Merge, MeanOfEqualHeadsIsThatHead) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF16}) {
    for (const int64_t members : {2, 3, 5, 6, 7}) {
      const TemporaryFolder temporary;
      const TinyModelSpec spec{.n_layers = 1,
                               .n_heads = 2 * members,
                               .n_kv_heads = 2 * members,
                               .head_dim = 6,
                               .hidden_size = 40,
                               .dtype = dtype,
                               .distinct_kv_heads = 2};
      write_tiny_model(temporary / "in", spec);
      convert(temporary / "in", temporary / "out", 2);
      for (const char* name : {"k_proj.weight", "v_proj.weight"}) {
        const std::string before = stored_bytes(temporary / "in", in_layer_0(name));
        const size_t group = before.size() / 2;
        const size_t head = group / static_cast<size_t>(members);
        EXPECT_EQ(stored_bytes(temporary / "out", in_layer_0(name)),
                  before.substr(0, head) + before.substr(group, head))
            << members << " heads of " << dtype_name(dtype);
      }
    }
  }
}

TEST(Merge, FirstKeepsTheGroupsFirstHead) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 1, .n_heads = 6, .n_kv_heads = 6, .attention_bias = true};
  write_tiny_model(temporary / "in", spec);
  convert(temporary / "in", temporary / "out", 2, {.method = Method::kFirst});
  for (const char* name : {"k_proj.weight", "v_proj.weight", "k_proj.bias", "v_proj.bias"}) {
    const std::string before = stored_bytes(temporary / "in", in_layer_0(name));
    const size_t head = before.size() / 6;
    EXPECT_EQ(stored_bytes(temporary / "out", in_layer_0(name)),
              before.substr(0, head) + before.substr(3 * head, head));
  }
}

// The weight [512, 512] is longer than one block of 131,072 values, so that the stream of random
// numbers runs on over block ends.
TEST(Merge, RandomHasTheParentsDeviation) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{
      .n_layers = 1, .n_heads = 4, .head_dim = 256, .hidden_size = 512, .intermediate_size = 8};
  write_tiny_model(temporary / "in", spec);
  convert(temporary / "in", temporary / "out", 2, {.method = Method::kRandom, .seed = 5});
  for (const char* name : {"k_proj.weight", "v_proj.weight"}) {
    const auto deviation = [](const std::vector<double>& values) {
      double sum = 0;
      double squares = 0;
      for (const double x : values) sum += x;
      const double mean = sum / static_cast<double>(values.size());
      for (const double x : values) squares += (x - mean) * (x - mean);
      return std::sqrt(squares / static_cast<double>(values.size()));
    };
    const double parent = deviation(stored_values(temporary / "in", in_layer_0(name)));
    const auto drawn = stored_values(temporary / "out", in_layer_0(name));
    ASSERT_EQ(drawn.size(), 512u * 512u);
    EXPECT_NEAR(deviation(drawn) / parent, 1, 0.01);  // its own error is 1 / sqrt(2 n) = 0.0014
    NormalStream normal(5, in_layer_0(name));
    for (const double value : drawn) {
      const double expected = parent * normal.next();
      ASSERT_NEAR(value, expected, 1e-6 * std::abs(expected));
    }
  }
}

TEST(Merge, RandomFollowsFromTheSeedAlone) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.attention_bias = true};
  write_tiny_model(temporary / "in", spec);
  const auto draw = [&](const std::string& out, ConvertOptions options) {
    options.method = Method::kRandom;
    convert(temporary / "in", temporary / out, 2, options);
    return temporary / out;
  };
  const std::string one = draw("one", {.seed = 1});
  const std::string again = draw("again", {.seed = 1});
  const std::string shards = draw("shards", {.seed = 1, .max_shard_bytes = 4096});
  const std::string other = draw("other", {.seed = 2});
  EXPECT_TRUE(read_tree(one) == read_tree(again));
  const std::string k = in_layer_0("k_proj.weight");
  EXPECT_EQ(stored_bytes(one, k), stored_bytes(shards, k));
  EXPECT_NE(stored_bytes(one, k), stored_bytes(other, k));
  EXPECT_NE(stored_bytes(one, k), stored_bytes(one, in_layer_0("v_proj.weight")));
  EXPECT_NE(stored_bytes(one, k), stored_bytes(one, "model.layers.1.self_attn.k_proj.weight"));
  const std::string q = in_layer_0("q_proj.weight");
  EXPECT_EQ(stored_bytes(one, q), stored_bytes(temporary / "in", q));
}

// KV heads 0..3 of a model whose 8 query heads read 4 of them: (0 + 1) / 2 and (2 + 3) / 2.
TEST(Merge, AGroupedParentMergesItsKvHeads) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{
      .n_layers = 1, .n_heads = 8, .n_kv_heads = 4, .head_dim = 2, .hidden_size = 3};
  write_model_with(temporary / "in", spec,
                   {{in_layer_0("v_proj.weight"), heads_of({1, 3, 10, 30}, 6)}});
  convert(temporary / "in", temporary / "out", 2);
  EXPECT_EQ(stored_values(temporary / "out", in_layer_0("v_proj.weight")), heads_of({2, 20}, 6));
  EXPECT_EQ(ModelFolder::open(temporary / "out").config().group_size(), 4);
}

}  // namespace
}  // namespace regroup::testing
