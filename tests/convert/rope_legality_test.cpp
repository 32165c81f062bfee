// What commutes with RoPE is folded without a trace, and everything else is refused.
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/matmul.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "convert/planted.h"
#include "model/decoder_tools.h"
#include "regroup/base/path.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/convert/legality.h"
#include "regroup/model/layer.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using at::Tensor;

constexpr int64_t kDim = 10;

Tensor tensor_of(const Matrix& m) {
  return at::from_blob(const_cast<double*>(m.data()), {kDim, kDim}, at::kDouble).clone();
}

/// Matrices of one head and whether a rotary embedding commutes with them.
struct Candidate {
  const char* why;
  Matrix matrix;
  bool legal;
};

std::vector<Candidate> candidates() {
  Random random(3);
  const auto with = [](Matrix m, std::vector<std::pair<size_t, double>> entries) {
    for (const auto& [at, value] : entries) m[at] = value;
    return m;
  };
  const Matrix zero(kDim * kDim, 0.0);
  Matrix ones = zero;
  for (size_t i = 0; i < zero.size(); i += kDim + 1) ones[i] = 1;
  // Planes are (l, l + 5): the neighbours (0, 1) are the planes of the interleaved layout.
  const double c = std::cos(0.7);
  const double s = std::sin(0.7);
  return {
      {"rotations", key_basis(kDim, kDim, true, random).encode, true},
      {"scaled rotations", key_basis(kDim, kDim, false, random).encode, true},
      {"zero", zero, true},
      {"an orthogonal matrix", orthogonal(kDim, random), false},
      {"a reflection of one plane", with(ones, {{5 * kDim + 5, -1.0}}), false},
      {"two scales in a plane", with(ones, {{2 * kDim + 2, 1.5}}), false},
      {"two planes exchanged",
       with(ones, {{0, 0}, {11, 0}, {1, 1}, {10, 1}, {55, 0}, {66, 0}, {56, 1}, {65, 1}}), false},
      {"a plane of the interleaved layout", with(ones, {{0, c}, {11, c}, {1, -s}, {10, s}}), false},
  };
}

/// The same where position turns the first 6 channels: planes are (l, l + 3).
std::vector<Candidate> candidates_in_part() {
  Random random(4);
  const Basis any = key_basis(kDim, 6, false, random);
  Matrix mixed = any.encode;
  mixed[5 * kDim + 6] = 0.3;  // a turned channel reads one that is not
  Matrix read = any.encode;
  read[8 * kDim + 1] = 0.3;  // and the other way round
  return {
      {"scaled rotations and any matrix on the rest", any.encode, true},
      {"unit rotations and an orthogonal matrix", key_basis(kDim, 6, true, random).encode, true},
      {"the rest in turned channels", mixed, false},
      {"turned channels in the rest", read, false},
      {"planes of a head that is turned whole", key_basis(kDim, kDim, true, random).encode, false},
      {"an orthogonal matrix", orthogonal(kDim, random), false},
  };
}

/// Heads [seq, kDim] at positions 0, 1, ... after the rotary embedding, in float64.
Tensor rotated(const Tensor& heads, const RopeTable& table) {
  const Tensor qkv = at::cat({heads, heads, heads}, 1).unsqueeze(0);
  return std::get<1>(split_rope(qkv, table, 1, 1, kDim)).view({heads.size(0), kDim});
}

void expect_legal(const ModelConfig& config, const std::vector<Candidate>& all) {
  const RopeTable table = make_rope_tables(config, 40, 40, at::kCPU).full;
  const Tensor heads = random_tensor({40, kDim}, 1, at::kDouble);
  for (const Candidate& candidate : all) {
    SCOPED_TRACE(candidate.why);
    const Tensor turn = tensor_of(candidate.matrix).t();
    const Tensor before = rotated(at::matmul(heads, turn), table);
    const Tensor after = at::matmul(rotated(heads, table), turn);
    const double gap = before.sub(after).abs().max().item<double>();
    EXPECT_EQ(gap <= 1e-9, candidate.legal) << gap;
    EXPECT_TRUE(candidate.legal || gap > 1e-2) << gap;
    for (const bool encodes : {true, false}) {
      LayerTransform t = identity_transform(config);
      (encodes ? t.encode_key : t.decode_key)[4].dense = candidate.matrix;
      if (candidate.legal) {
        EXPECT_NO_THROW(check_transform(t, config, 3));
        continue;
      }
      const ErrorInfo error =
          expect_error<ConfigError>("TRANSFORM", [&] { check_transform(t, config, 3); });
      EXPECT_EQ(error.message.find(encodes ? "layer 3, key head 4: the encoding matrix must"
                                           : "layer 3, key head 4: the decoding matrix must"),
                0u)
          << error.message;
    }
    // No position turns values: they may be anything.
    LayerTransform t = identity_transform(config);
    t.encode_value[4].dense = t.decode_value[4].dense = candidate.matrix;
    EXPECT_NO_THROW(check_transform(t, config, 3));
  }
}

TEST(RopeLegality, OnlyComplexNumbersAPlaneCommute) {
  expect_legal(parse_model_config(tiny_config({.n_heads = 6, .n_kv_heads = 6, .head_dim = kDim}),
                                  "config.json"),
               candidates());
}

TEST(RopeLegality, WhatIsNotTurnedTakesAnyMatrixAndStaysApart) {
  expect_legal(parse_model_config(tiny_config({.model_type = "stablelm",
                                               .n_heads = 6,
                                               .n_kv_heads = 6,
                                               .head_dim = kDim,
                                               .hidden_size = 60,
                                               .extra_config = {{"partial_rotary_factor", 0.6}}}),
                                  "config.json"),
               candidates_in_part());
}

TEST(RopeLegality, NoNumberIsRefused) {
  const ModelConfig config = parse_model_config(tiny_config({.head_dim = 2}), "config.json");
  for (const double x :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    LayerTransform t = identity_transform(config);
    t.decode_key[0].dense = {x, 0, 0, x};
    expect_error<ConfigError>("TRANSFORM", [&] { check_transform(t, config, 0); });
  }
}

// A whole conversion: the layer and the head are named, nothing is written.
TEST(RopeLegality, AnIllegalConversionWritesNothing) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  const ModelConfig config = ModelFolder::open(temporary / "in").config();
  std::vector<LayerTransform> layers = rebased(config, {.why = "none"});
  Random random(7);
  layers[1].encode_key[2].dense = orthogonal(8, random);
  const ErrorInfo error = expect_error<ConfigError>(
      "TRANSFORM", [&] { convert_by(layers, temporary / "in", temporary / "out", 4); });
  EXPECT_NE(error.message.find("layer 1, key head 2"), std::string::npos) << error.message;
  EXPECT_FALSE(path_exists(temporary / "out.partial"));
  EXPECT_FALSE(path_exists(temporary / "out"));
}

/// Each head brought into the basis that a method chose for it, but not merged.
std::vector<LayerTransform> unmerged(std::vector<LayerTransform> layers, int64_t d, bool values) {
  const auto inverse = [d](const HeadMatrix& matrix) {
    Matrix dense = matrix.dense;
    const Tensor m = at::from_blob(dense.data(), {d, d}, at::kDouble);
    const Tensor inverted = at::linalg_inv(m).contiguous();
    return Matrix(inverted.data_ptr<double>(), inverted.data_ptr<double>() + d * d);
  };
  for (LayerTransform& t : layers) {
    for (size_t i = 0; i < t.permutation.size(); ++i) {
      t.encode_key[i].dense = inverse(t.decode_key[i]);
      if (values) {
        t.encode_value[i].dense = inverse(t.decode_value[i]);
      } else {
        t.encode_value[i] = t.decode_value[i] = {};
      }
    }
    t.logit_gain.assign(t.logit_gain.size(), 1.0);
  }
  return layers;
}

// Aligned and moved, but not yet merged, heads are the same model.
TEST(RopeLegality, AlignedAndPermutedHeadsLeaveTheLogits) {
  for (const TinyModelSpec& spec :
       {TinyModelSpec{.n_heads = 12, .n_kv_heads = 12, .head_dim = 10, .hidden_size = 96},
        TinyModelSpec{.n_heads = 12, .n_kv_heads = 6, .head_dim = 6, .attention_bias = true},
        TinyModelSpec{.model_type = "stablelm",
        .n_heads = 12,
        .n_kv_heads = 6,
        .head_dim = 8,
        .hidden_size = 96}}) {
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", spec);
    const ModelFolder model = ModelFolder::open(temporary / "in");
    const Tensor ids = random_ids(2, 17, spec.vocab_size, 3);
    const Tensor wanted = all_logits(load_folder(temporary / "in"), ids);
    for (const Method method : {Method::kAlign, Method::kPca}) {
      SCOPED_TRACE(method_name(method));
      const std::vector<LayerTransform> merged =
          transform_by_statistics(model, {.n_kv_heads = 3,
                                          .method = method,
                                          .grouping = Grouping::kSimilarity,
                                          .output_gain = Gain::kOff})
              .transforms;
      bool moved = false;
      for (const LayerTransform& t : merged) {
        moved |= !std::is_sorted(t.permutation.begin(), t.permutation.end());
      }
      EXPECT_TRUE(moved);
      const std::string out = temporary / method_name(method);
      // The components of pca's values may be far from orthogonal: only its keys are tried.
      convert_by(unmerged(merged, spec.head_dim, method == Method::kAlign), temporary / "in", out,
                 spec.n_kv_heads);
      EXPECT_NE(stored_bytes(out, in_layer_0("k_proj.weight")),
                stored_bytes(temporary / "in", in_layer_0("k_proj.weight")));
      EXPECT_LE(relative_error(all_logits(load_folder(out), ids), wanted), 1e-5);
    }
  }
}

}  // namespace
}  // namespace regroup::testing
