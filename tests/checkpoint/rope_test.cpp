// Rotary frequencies against those of transformers 5.23 (ROPE_INIT_FUNCTIONS, which computes in
// float32: hence the tolerance of 1e-6) and against formulas done by hand.
#include "regroup/checkpoint/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace regroup::testing {
namespace {

struct Scaling {
  const char* name;
  RopeConfig rope;
  int64_t head_dim;
  int64_t seq_len;
  int64_t max_positions;
  std::vector<double> expected;
};

// Printed by, for each row (KIND, head_dim, max_positions, theta and parameters as in the row):
//   c = LlamaConfig(hidden_size=D, num_attention_heads=1, head_dim=D, max_position_embeddings=M,
//                   rope_parameters={"rope_theta": THETA, "rope_type": KIND, ...})
//   ROPE_INIT_FUNCTIONS[KIND](c, torch.device("cpu"), seq_len=S)[0].double().tolist()
const Scaling kScalings[] = {
    {"linear",
     {.kind = RopeKind::kLinear, .factor = 4},
     8,
     0,
     2048,
     {0.25, 0.02500000037252903, 0.0024999999441206455, 0.00025000001187436283}},
    {"dynamic_long",
     {.kind = RopeKind::kDynamic, .factor = 2},
     8,
     4096,
     2048,
     {1, 0.069336123764514923, 0.0048074983060359955, 0.00033333332976326346}},
    {"dynamic_short",  // within the model's own context nothing is stretched
     {.kind = RopeKind::kDynamic, .factor = 2},
     8,
     1000,
     2048,
     {1, 0.10000000149011612, 0.0099999997764825821, 0.0010000000474974513}},
    {"llama3",
     {.kind = RopeKind::kLlama3,
      .theta = 500000,
      .factor = 8,
      .original_max_positions = 8192,
      .low_freq_factor = 1,
      .high_freq_factor = 4},
     16,
     0,
     131072,
     {1, 0.19392275810241699, 0.037606030702590942, 0.0072926650755107403, 0.00052484602201730013,
      3.4281023545190692e-05, 6.6478696680860594e-06, 1.2891731557829189e-06}},
    {"yarn",
     {.kind = RopeKind::kYarn, .factor = 4, .original_max_positions = 4096},
     16,
     0,
     16384,
     {1, 0.31622776389122009, 0.10000000149011612, 0.025693506002426147, 0.0062499996274709702,
      0.0013834965648129582, 0.00025000001187436283, 7.9056946560740471e-05}},
    {"yarn_not_truncated",
     {.kind = RopeKind::kYarn,
      .factor = 4,
      .original_max_positions = 4096,
      .beta_fast = 16,
      .beta_slow = 2,
      .truncate = false},
     16,
     0,
     16384,
     {1, 0.31622776389122009, 0.10000000149011612, 0.031622778624296188, 0.0067616188898682594,
      0.00082510447828099132, 0.00025000001187436283, 7.9056946560740471e-05}},
    {"yarn_40",
     {.kind = RopeKind::kYarn, .factor = 40, .original_max_positions = 4096},
     16,
     0,
     163840,
     {1, 0.31622776389122009, 0.10000000149011612, 0.023914724588394165, 0.005124999675899744,
      0.00084986217552796006, 2.4999999368446879e-05, 7.9056944741751067e-06}},
};

class Scalings : public ::testing::TestWithParam<Scaling> {};

TEST_P(Scalings, AreThoseOfTransformers) {
  const Scaling& s = GetParam();
  const std::vector<double> found =
      rope_frequencies(s.rope, s.head_dim, s.seq_len, s.max_positions);
  ASSERT_EQ(found.size(), s.expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], s.expected[i], 1e-6 * s.expected[i]) << "plane " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Scalings, ::testing::ValuesIn(kScalings),
                         [](const auto& test) { return test.param.name; });

// theta^(-2i/r) with theta 10000 and r 8: 10000^0, 10000^(-1/4) = 1/10, 1/100, 1/1000.
TEST(Rope, DefaultIsAPowerOfTheta) {
  const std::vector<double> found = rope_frequencies({}, 8, 100'000, 2048);
  const std::vector<double> expected = {1, 0.1, 0.01, 0.001};
  for (size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(found[i], expected[i]);
}

// S = 4096, M = 2048, factor 2: 2 * 4096 / 2048 - (2 - 1) = 3; theta' = 10000 * 3^(8/6); the last of
// four planes turns theta'^(-6/8) = 0.001 * 3^(-(8/6)(6/8)) = 0.001 / 3.
TEST(Rope, DynamicByHand) {
  const RopeConfig rope{.kind = RopeKind::kDynamic, .factor = 2};
  EXPECT_DOUBLE_EQ(rope_frequencies(rope, 8, 4096, 2048)[3], 0.001 / 3);
  EXPECT_DOUBLE_EQ(rope_frequencies(rope, 8, 2048, 2048)[3], 0.001);
}

// Short waves stay, long waves are stretched by the factor, and between them the frequency blends.
TEST(Rope, Llama3ByHand) {
  // theta 10000, r = 8: wavelengths 6.28, 62.8, 628.3, 6283.2. O / hi = 256 / 4 = 64, O / lo = 256.
  const RopeConfig rope{.kind = RopeKind::kLlama3,
                        .factor = 8,
                        .original_max_positions = 256,
                        .low_freq_factor = 1,
                        .high_freq_factor = 4};
  const std::vector<double> found = rope_frequencies(rope, 8, 0, 2048);
  EXPECT_DOUBLE_EQ(found[0], 1);
  EXPECT_DOUBLE_EQ(found[1], 0.1);       // 62.8 < 64
  EXPECT_DOUBLE_EQ(found[2], 0.01 / 8);  // 628.3 > 256
  EXPECT_DOUBLE_EQ(found[3], 0.001 / 8);
  // With O = 200 the second plane lies between: 50 < 62.8 < 200, s = (200 / 62.83 - 1) / 3 =
  // 0.727699, and 0.1 * (0.272301 / 8 + 0.727699) = 0.0761737.
  const RopeConfig between{.kind = RopeKind::kLlama3,
                           .factor = 8,
                           .original_max_positions = 200,
                           .low_freq_factor = 1,
                           .high_freq_factor = 4};
  const double s = (200 / (20 * std::numbers::pi) - 1) / 3;
  EXPECT_NEAR(s, 0.727699, 1e-6);
  EXPECT_NEAR(rope_frequencies(between, 8, 0, 2048)[1], 0.0761737, 1e-7);
}

TEST(Rope, FactorOneChangesNothing) {
  for (const RopeKind kind : {RopeKind::kLinear, RopeKind::kLlama3, RopeKind::kYarn}) {
    const RopeConfig rope{.kind = kind, .factor = 1, .original_max_positions = 2048};
    const std::vector<double> plain = rope_frequencies({}, 64, 0, 2048);
    const std::vector<double> found = rope_frequencies(rope, 64, 0, 2048);
    for (size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(found[i], plain[i]) << "plane " << i;
  }
}

}  // namespace
}  // namespace regroup::testing
