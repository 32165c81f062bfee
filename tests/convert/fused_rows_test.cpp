// Queries, keys and values in one tensor, KV head by KV head: which rows a conversion reads and where it writes them.
#include <gtest/gtest.h>

#include "convert/convert_tools.h"
#include "regroup/base/normal_stream.h"

namespace regroup::testing {
namespace {

constexpr const char* kWeight = "model.layers.0.attention.wqkv.weight";
constexpr const char* kBias = "model.layers.0.attention.wqkv.bias";
constexpr int64_t kWidth = 8;

/// 4 query heads of 2 rows, which read 2 KV heads.
const TinyModelSpec kSpec{.model_type = "internlm2",
                          .n_layers = 1,
                          .n_heads = 4,
                          .n_kv_heads = 2,
                          .head_dim = 2,
                          .hidden_size = kWidth,
                          .attention_bias = true};

using Rows = std::vector<double>;

/// A matrix whose row i holds rows[i] everywhere.
Rows widened(const Rows& rows) {
  Rows values;
  for (const double row : rows) values.insert(values.end(), kWidth, row);
  return values;
}

/// q0 0 1, q1 2 3, k0 4 5, v0 6 7; q2 8 9, q3 10 11, k1 12 13, v1 14 15: each row holds 10 times its number.
class FusedRows : public ::testing::Test {
 protected:
  FusedRows() {
    Rows rows;
    for (int row = 0; row < 16; ++row) rows.push_back(10 * row);
    write_model_with(folder_ / "in", kSpec, {{kWeight, widened(rows)}, {kBias, rows}});
  }
  void expect(const std::string& out, const Rows& rows) const {
    EXPECT_EQ(stored_values(folder_ / out, kWeight), widened(rows)) << out;
    EXPECT_EQ(stored_values(folder_ / out, kBias), rows) << out;
  }
  TemporaryFolder folder_;
};

// k: (40 + 120) / 2, (50 + 130) / 2; v: (60 + 140) / 2, (70 + 150) / 2. Blocks of q, k and v would merge rows 8-11.
TEST_F(FusedRows, MergedHeadsStandBehindAllQueriesThatReadThem) {
  convert(folder_ / "in", folder_ / "mean", 1);
  expect("mean", {0, 10, 20, 30, 80, 90, 100, 110, 80, 90, 100, 110});
  convert(folder_ / "in", folder_ / "first", 1, {.method = Method::kFirst});
  expect("first", {0, 10, 20, 30, 80, 90, 100, 110, 40, 50, 60, 70});
}

TEST_F(FusedRows, RepeatedHeadsStandBehindEachQuery) {
  convert(folder_ / "in", folder_ / "out", 4);
  expect("out", {0,  10, 40,  50,  60,  70,  20,  30,  40,  50,  60,  70,
                 80, 90, 120, 130, 140, 150, 100, 110, 120, 130, 140, 150});
}

TEST_F(FusedRows, AsManyHeadsKeepTheirRows) {
  convert(folder_ / "in", folder_ / "out", 2);
  EXPECT_EQ(stored_bytes(folder_ / "out", kWeight), stored_bytes(folder_ / "in", kWeight));
  convert(folder_ / "in", folder_ / "half", 2, {.method = Method::kMean, .dtype = "bf16"});
  EXPECT_EQ(stored_values(folder_ / "half", kWeight), stored_values(folder_ / "in", kWeight));
}

// KV head 1 comes first, with the queries that read it.
TEST_F(FusedRows, QueriesMoveWithTheirHead) {
  const ModelConfig config = ModelFolder::open(folder_ / "in").config();
  std::vector<LayerTransform> transforms = make_transforms(Method::kFirst, config, 1);
  transforms[0].permutation = {1, 0};
  convert_by(transforms, folder_ / "in", folder_ / "out", 1);
  expect("out", {80, 90, 100, 110, 0, 10, 20, 30, 120, 130, 140, 150});
}

// The rows of k and those of v take turns in the file; each is one stream of its own, as where it is a tensor of its own.
TEST_F(FusedRows, DrawnRowsFollowFromTheSeedAndThePart) {
  TinyModelSpec spec = kSpec;
  spec.n_kv_heads = 4;
  write_tiny_model(folder_ / "mha", spec);
  convert(folder_ / "mha", folder_ / "out", 2, {.method = Method::kRandom, .seed = 5});
  const Rows out = stored_values(folder_ / "out", kBias);
  const Rows in = stored_values(folder_ / "mha", kBias);  // 4 times q, k, v, of 2 rows each
  for (const int part : {1, 2}) {
    double sum = 0;
    double squares = 0;
    for (int head = 0; head < 4; ++head) {
      for (int row = 0; row < 2; ++row) {
        const double value = in[static_cast<size_t>(6 * head + 2 * part + row)];
        sum += value;
        squares += value * value;
      }
    }
    const double deviation = std::sqrt(squares / 8 - sum / 8 * sum / 8);
    NormalStream normal(5, std::string(kBias) + ":" + std::to_string(part));
    for (const int at : {0, 1, 8, 9}) {  // behind 2 query heads: 4 rows; a group has 8
      const double drawn = out[static_cast<size_t>(4 + 2 * (part - 1) + at)];
      EXPECT_NEAR(drawn, deviation * normal.next(), 1e-6 * deviation) << part << " " << at;
    }
  }
}

}  // namespace
}  // namespace regroup::testing
