// What is exact for each kind of attention leaves a layer's output, and everything else is refused and would
// move it. Attention alone, in float64 and by its definition, so that kinds are tried that no supported
// family has.
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/randperm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "convert/planted_layer.h"
#include "regroup/convert/legality.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using at::Tensor;
using Position = AttentionTraits::Position;
using Layout = AttentionTraits::Layout;

constexpr double kExact = 1e-9;
constexpr double kMoved = 1e-3;
constexpr int64_t kHeads = 6;
constexpr int64_t kDim = 10;
constexpr int64_t kReaders = 2;

struct Kind {
  const char* name;
  AttentionTraits attention = {};
  int64_t rotary_dim = kDim;
};

const Kind kKinds[] = {
    {"all turned, as Llama"},
    {"neighbours turned, as Cohere", {.layout = Layout::kNeighbours}},
    {"a part turned, as StableLM", {}, 4},
    {"a part turned, neighbours, as GPT-J", {.layout = Layout::kNeighbours}, 6},
    {"positions outside, as GPT-2", {.position = Position::kNone}, 0},
    {"ALiBi, as BLOOM", {.position = Position::kAlibi}, 0},
    {"relative biases, as T5", {.position = Position::kRelativeBias}, 0},
    {"sinks", {.sinks = true}},
    {"sinks, a part turned", {.sinks = true}, 4},
    {"QK-norm, as Qwen3", {.qk_norm = QkNorm::kHead}},
    {"QK-norm, a part turned", {.qk_norm = QkNorm::kHead}, 4},
};

/// A layer of its kind and the attention that computes it.
struct Subject {
  PlantedLayer layer;
  ReferenceAttention attention;
  QkNormGains gains;
};

Subject subject(const Kind& kind) {
  Subject s{plant_layer({.source = {0, 1, 2, 3, 4, 5},
                         .readers = kReaders,
                         .head_dim = kDim,
                         .hidden = 96,
                         .attention = kind.attention,
                         .rotary_dim = kind.rotary_dim}),
            {},
            {}};
  s.attention.config = s.layer.config;
  if (kind.attention.position == Position::kRelativeBias) {
    s.attention.bias = random_double({kHeads * kReaders, s.layer.inputs.size(0)}, 30);
  }
  if (kind.attention.sinks) s.attention.sinks = random_double({kHeads * kReaders}, 33).mul(3);
  if (!kind.attention.normalises_keys()) return s;
  // Equal in the planes, so that these may be turned; outside as they come.
  const auto gain = [&](uint64_t seed) {
    const Tensor g = random_double({kDim}, seed).mul(0.2).add(4);
    const HeadChannels channels = head_channels(s.layer.config);
    for (size_t l = 0; l < channels.real.size(); ++l) {
      g[channels.imaginary[l]] = g[channels.real[l]].item<double>();
    }
    return g;
  };
  s.attention.query_gain = gain(31);
  s.attention.key_gain = gain(32);
  const auto values = [](const Tensor& g) {
    return std::vector<double>(g.data_ptr<double>(), g.data_ptr<double>() + kDim);
  };
  s.gains = {values(s.attention.query_gain), values(s.attention.key_gain)};
  s.layer.weights.q_gain = s.attention.query_gain.expand({kHeads * kReaders, kDim}).contiguous();
  s.layer.weights.k_gain = s.attention.key_gain.expand({kHeads, kDim}).contiguous();
  return s;
}

HeadMatrix dense(const Tensor& m) {
  const Tensor wide = m.contiguous();
  return {.dense = {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()}};
}

void set(HeadMatrix& encode, HeadMatrix& decode, const Tensor& matrix) {
  encode = dense(matrix);
  decode = dense(at::linalg_inv(matrix));
}

std::vector<int64_t> shuffled() { return {3, 0, 5, 1, 4, 2}; }

/// Any change of every head that should leave the layer as it is.
LayerTransform exact_change(const Subject& s) {
  const ModelConfig& config = s.layer.config;
  LayerTransform t = identity_transform(config);
  if (config.attention.position != Position::kAlibi) t.permutation = shuffled();
  const HeadChannels channels = head_channels(config);
  const auto planes = static_cast<int64_t>(channels.real.size());
  const auto rest = static_cast<int64_t>(channels.rest.size());
  const bool normed = config.attention.normalises_keys();
  for (int64_t i = 0; i < kHeads; ++i) {
    const auto seed = static_cast<uint64_t>(40 + 10 * i);
    const Tensor size = random_double({planes}, seed).mul(normed ? 0 : 0.5).exp();
    const Tensor factors = at::polar(size, random_double({planes}, seed + 1).mul(3));
    const Tensor other =
        normed ? at::eye(rest, at::kDouble) : random_basis(rest, seed + 2, /*orthogonal=*/false);
    const auto at = static_cast<size_t>(i);
    set(t.encode_key[at], t.decode_key[at], key_matrix(channels, factors, other));
    set(t.encode_value[at], t.decode_value[at], random_basis(kDim, seed + 3, false));
  }
  return t;
}

/// The attention after heads have moved: what belongs to a head's number in a table moves along.
ReferenceAttention moved(const ReferenceAttention& attention, const LayerTransform& t) {
  ReferenceAttention after = attention;
  const Tensor order = at::tensor(t.permutation, at::kLong);
  for (Tensor* table : {&after.bias, &after.sinks}) {
    if (!table->defined()) continue;
    *table = table->unflatten(0, {kHeads, kReaders}).index_select(0, order).flatten(0, 1);
  }
  return after;
}

/// How far `t` moves the layer's output, with as many heads as before.
double gap(const Subject& s, const LayerTransform& t) {
  const AttentionWeights after = fold_attention(s.layer.weights, t, s.layer.config, kHeads);
  return relative_error(attention_output(moved(s.attention, t), after, s.layer.inputs),
                        attention_output(s.attention, s.layer.weights, s.layer.inputs));
}

std::string refusal(const Subject& s, const LayerTransform& t) {
  return expect_error<ConfigError>("TRANSFORM",
                                   [&] { check_transform(t, s.layer.config, 3, s.gains); })
      .message;
}

TEST(AttentionFamilies, WhatIsExactLeavesTheOutput) {
  for (const Kind& kind : kKinds) {
    SCOPED_TRACE(kind.name);
    const Subject s = subject(kind);
    const LayerTransform t = exact_change(s);
    EXPECT_NO_THROW(check_transform(t, s.layer.config, 3, s.gains));
    EXPECT_LE(gap(s, t), kExact);
    const AttentionWeights after = fold_attention(s.layer.weights, t, s.layer.config, kHeads);
    EXPECT_GE(relative_error(after.k, s.layer.weights.k), 0.1);
    EXPECT_GE(relative_error(after.q, s.layer.weights.q), 0.1);
    EXPECT_GE(relative_error(after.o, s.layer.weights.o), 0.1);
  }
}

// The bases that alignment chooses, and its order of heads where it may choose one: not yet merged, the heads
// are the same layer.
TEST(AttentionFamilies, AlignedAndPermutedHeadsLeaveTheOutput) {
  for (const Kind& kind : kKinds) {
    if (kind.attention.normalises_keys()) continue;  // align is refused
    SCOPED_TRACE(kind.name);
    const Subject s = subject(kind);
    const bool fixed = kind.attention.position == Position::kAlibi;
    LayerTransform t =
        decide(s.layer, Method::kAlign, fixed ? Grouping::kContiguous : Grouping::kSimilarity, 3)
            .transform;
    EXPECT_EQ(std::is_sorted(t.permutation.begin(), t.permutation.end()), fixed);
    t.divisor = 1;
    for (size_t i = 0; i < kHeads; ++i) {
      t.encode_key[i] = dense(at::linalg_inv(as_tensor(t.decode_key[i], kDim)));
      t.encode_value[i] = dense(at::linalg_inv(as_tensor(t.decode_value[i], kDim)));
    }
    EXPECT_NO_THROW(check_transform(t, s.layer.config, 3));
    EXPECT_LE(gap(s, t), kExact);
  }
}

/// A change of one head's keys, or of the order.
struct Change {
  const char* name;
  std::function<void(LayerTransform&, const HeadChannels&)> make;
  std::function<bool(const Kind&)> exact;
  const char* said;  ///< by the refusal
};

/// The identity but for `entries`.
Tensor with(const std::vector<std::tuple<int64_t, int64_t, double>>& entries) {
  const Tensor m = at::eye(kDim, at::kDouble);
  for (const auto& [row, column, value] : entries) m[row][column] = value;
  return m;
}

bool has_planes(const Kind& kind) { return kind.rotary_dim > 0; }
bool is_free(const Kind& kind) { return !has_planes(kind) && !kind.attention.normalises_keys(); }

std::vector<Change> changes() {
  const auto key = [](LayerTransform& t, const Tensor& matrix) {
    set(t.encode_key[2], t.decode_key[2], matrix);
  };
  const double c = std::cos(0.7);
  const double sn = std::sin(0.7);
  return {
      {"any matrix",
       [=](LayerTransform& t, const HeadChannels&) { key(t, random_basis(kDim, 5, false)); },
       is_free, "rotary plane"},
      {"any orthogonal matrix",
       [=](LayerTransform& t, const HeadChannels&) { key(t, random_basis(kDim, 5, true)); },
       is_free, "rotary plane"},
      {"the planes (l, l + 5) of the other layout and width",
       [=](LayerTransform& t, const HeadChannels&) {
         key(t, with({{0, 0, c}, {5, 5, c}, {0, 5, -sn}, {5, 0, sn}}));
       },
       [](const Kind& kind) {
         const bool whole = kind.rotary_dim == kDim && kind.attention.layout == Layout::kHalves;
         return is_free(kind) || whole;
       },
       "rotary plane"},
      {"the planes (2l, 2l + 1)",
       [=](LayerTransform& t, const HeadChannels&) {
         key(t, with({{2, 2, c}, {3, 3, c}, {2, 3, -sn}, {3, 2, sn}}));
       },
       [](const Kind& kind) {
         return is_free(kind) || kind.attention.layout == Layout::kNeighbours;
       },
       "rotary plane"},
      {"a reflection in a plane",
       [=](LayerTransform& t, const HeadChannels&) {
         key(t, with({{0, 0, -1.0}}));
       },
       is_free, "rotary plane"},
      {"the last two channels mixed",
       [=](LayerTransform& t, const HeadChannels&) {
         key(t, with({{kDim - 1, kDim - 2, 0.8}}));
       },
       [](const Kind& kind) {
         return kind.rotary_dim < kDim - 1 && !kind.attention.normalises_keys();
       },
       nullptr},
      {"a longer plane",
       [=](LayerTransform& t, const HeadChannels& channels) {
         const auto a = channels.real.empty() ? int64_t{0} : channels.real[1];
         const auto b = channels.real.empty() ? int64_t{1} : channels.imaginary[1];
         key(t, with({{a, a, 1.7}, {b, b, 1.7}}));
       },
       [](const Kind& kind) { return !kind.attention.normalises_keys(); }, "QK-norm"},
      {"longer queries",
       [](LayerTransform& t, const HeadChannels&) {
         t.encode_key[2].scale = 0.5;
         t.decode_key[2].scale = 2;
       },
       [](const Kind&) { return true; }, ""},
      {"heads moved", [](LayerTransform& t, const HeadChannels&) { t.permutation = shuffled(); },
       [](const Kind& kind) { return kind.attention.position != Position::kAlibi; },
       "layer 3: heads must keep their order, for an ALiBi slope belongs to each head's number; "
       "found 3, 0, 5, 1, 4, 2"},
  };
}

TEST(AttentionFamilies, WhatIsNotExactMovesTheOutputAndIsRefused) {
  for (const Kind& kind : kKinds) {
    const Subject s = subject(kind);
    for (const Change& change : changes()) {
      SCOPED_TRACE(std::string(kind.name) + ": " + change.name);
      LayerTransform t = identity_transform(s.layer.config);
      change.make(t, head_channels(s.layer.config));
      if (change.exact(kind)) {
        EXPECT_LE(gap(s, t), kExact);
        EXPECT_NO_THROW(check_transform(t, s.layer.config, 3, s.gains));
      } else {
        EXPECT_GE(gap(s, t), kMoved);
        const std::string said = refusal(s, t);
        if (change.said != nullptr) {
          EXPECT_NE(said.find(change.said), std::string::npos) << said;
        }
      }
    }
  }
}

// A norm's gains differ within a plane: turning that plane is another model, turning the others is not.
TEST(AttentionFamilies, OnlyPlanesOfEqualGainsAreTurnedUnderQkNorm) {
  Subject s = subject({"QK-norm", {.qk_norm = QkNorm::kHead}});
  const HeadChannels channels = head_channels(s.layer.config);
  LayerTransform t = identity_transform(s.layer.config);
  const auto turn = [&](size_t plane) {
    const Tensor factors = at::ones({kDim / 2}, at::kComplexDouble);
    factors[static_cast<int64_t>(plane)] = c10::complex<double>(0.6, 0.8);
    set(t.encode_key[1], t.decode_key[1],
        key_matrix(channels, factors, at::zeros({0, 0}, at::kDouble)));
  };
  for (const bool in_queries : {true, false}) {
    Subject uneven = s;
    Tensor& gain = in_queries ? uneven.attention.query_gain : uneven.attention.key_gain;
    gain = gain.clone();
    gain[channels.real[2]].mul_(1.5);
    (in_queries ? uneven.gains.query : uneven.gains.key)[static_cast<size_t>(channels.real[2])] *=
        1.5;
    turn(2);
    EXPECT_GE(gap(uneven, t), kMoved);
    EXPECT_NE(refusal(uneven, t).find("planes whose two gains are equal"), std::string::npos);
    turn(3);
    EXPECT_LE(gap(uneven, t), kExact);
    EXPECT_NO_THROW(check_transform(t, uneven.layer.config, 3, uneven.gains));
  }
  // Nobody said what the gains are.
  s.gains = {};
  refusal(s, t);
  // A stretched query would be stretched back.
  LayerTransform gained = identity_transform(s.layer.config);
  gained.logit_gain[4] = 1.5;
  EXPECT_NE(refusal(s, gained).find("logit gains must be 1"), std::string::npos);
}

// Every head has gains of its own in the norm of all: heads may be exchanged, nothing may be mixed.
TEST(AttentionFamilies, TheNormOfAllHeadsTakesOneFactorAHead) {
  ModelConfig config = subject({"a plain one"}).layer.config;
  config.attention.qk_norm = QkNorm::kWhole;
  LayerTransform t = identity_transform(config);
  t.permutation = shuffled();
  for (size_t i = 0; i < kHeads; ++i) t.encode_key[i].scale = 0.5 + static_cast<double>(i);
  EXPECT_NO_THROW(check_transform(t, config, 3));
  t.encode_key[2] = dense(at::eye(kDim, at::kDouble));
  const ErrorInfo error =
      expect_error<ConfigError>("TRANSFORM", [&] { check_transform(t, config, 3); });
  EXPECT_NE(error.message.find("layer 3, key head 2: no matrix may mix channels"),
            std::string::npos)
      << error.message;
  config.attention.qk_norm = QkNorm::kLayer;
  const ErrorInfo single =
      expect_error<ConfigError>("TRANSFORM", [&] { check_transform(t, config, 3); });
  EXPECT_NE(single.message.find("a gain of its own in the norm of its head"), std::string::npos)
      << single.message;
}

// Clipping acts on every channel by itself: where it is active no mixture of channels is exact, and what
// leaves channels alone is.
TEST(AttentionFamilies, NothingIsMixedWhereProjectionsAreClipped) {
  Subject s = subject({"clipped"});
  s.layer.config.clip_qkv = s.attention.config.clip_qkv = 1.5;
  LayerTransform t = identity_transform(s.layer.config);
  t.permutation = shuffled();
  t.output_gain.assign(t.output_gain.size(), 1.0);
  EXPECT_LE(gap(s, t), kExact);
  EXPECT_NO_THROW(check_transform(t, s.layer.config, 3));

  const auto expect_refused = [&](const char* what, const LayerTransform& change) {
    SCOPED_TRACE(what);
    EXPECT_GE(gap(s, change), kMoved);
    EXPECT_NE(refusal(s, change).find("layer 3: the model clips queries, keys and values to 1.5"),
              std::string::npos);
  };
  const LayerTransform turned = exact_change(subject({"full"}));
  LayerTransform values = identity_transform(s.layer.config);
  values.encode_value = turned.encode_value;
  values.decode_value = turned.decode_value;
  expect_refused("values mixed", values);
  LayerTransform keys = identity_transform(s.layer.config);
  keys.encode_key = turned.encode_key;
  keys.decode_key = turned.decode_key;
  expect_refused("planes turned", keys);
  LayerTransform stretched = identity_transform(s.layer.config);
  stretched.encode_value[0].scale = 2;
  stretched.decode_value[0].scale = 0.5;
  expect_refused("values stretched", stretched);
  LayerTransform gained = identity_transform(s.layer.config);
  gained.logit_gain[1] = 3;
  expect_refused("queries stretched", gained);
}

// One table for all layers: their heads move together or not at all.
TEST(AttentionFamilies, LayersThatShareATableShareTheirOrder) {
  const Subject s = subject({"T5", {.position = Position::kRelativeBias}, 0});
  std::vector<LayerTransform> layers(3, exact_change(s));
  EXPECT_NO_THROW(check_transforms(layers, s.layer.config));
  LayerTransform& other = layers[2];
  std::swap(other.permutation[0], other.permutation[4]);
  EXPECT_LE(gap(s, other), kExact);  // with a table of its own
  const AttentionWeights after = fold_attention(s.layer.weights, other, s.layer.config, kHeads);
  EXPECT_GE(relative_error(attention_output(moved(s.attention, layers[0]), after, s.layer.inputs),
                           attention_output(s.attention, s.layer.weights, s.layer.inputs)),
            kMoved);  // with that of layer 0
  const ErrorInfo error =
      expect_error<ConfigError>("TRANSFORM", [&] { check_transforms(layers, s.layer.config); });
  EXPECT_EQ(error.message.find("layer 2: the order of heads must be that of layer 0"), 0u)
      << error.message;
  // Each may have its own where nothing belongs to a head's number.
  EXPECT_NO_THROW(
      check_transforms(layers, subject({"GPT-2", {.position = Position::kNone}, 0}).layer.config));
}

}  // namespace
}  // namespace regroup::testing
