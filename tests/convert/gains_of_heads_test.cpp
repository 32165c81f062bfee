// QK-norm with gains of each head's own, in a matrix (Command-R+) or in one tensor a head (StableLM-2-12B).
#include <ATen/ops/allclose.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "convert/convert_tools.h"
#include "convert/planted.h"
#include "convert/planted_layer.h"
#include "model/decoder_tools.h"

namespace regroup::testing {
namespace {

using Rows = std::vector<double>;

/// 4 query heads of 2 channels, which read 2 KV heads.
TinyModelSpec sized(TinyModelSpec spec) {
  spec.n_layers = 1;
  spec.n_heads = 4;
  spec.n_kv_heads = 2;
  spec.head_dim = 2;
  spec.hidden_size = 8;
  return spec;
}

const TinyModelSpec kMatrix =
    sized({.model_type = "cohere", .extra_config = {{"use_qk_norm", true}}});
const TinyModelSpec kSingle =
    sized({.model_type = "stablelm",
           .extra_config = {{"qk_layernorm", true}, {"partial_rotary_factor", 1.0}}});

std::string single(const char* kind, int head) {
  return in_layer_0(fmt::format("{}_layernorm.norms.{}.weight", kind, head));
}

/// Gains of queries 10 20 | 30 40 | 50 60 | 70 80 and keys 1 2 | 5 10, whichever way they are stored.
class GainsOfHeads : public ::testing::Test {
 protected:
  GainsOfHeads() {
    const Rows queries = {10, 20, 30, 40, 50, 60, 70, 80};
    write_model_with(
        folder_ / "matrix", kMatrix,
        {{in_layer_0("q_norm.weight"), queries}, {in_layer_0("k_norm.weight"), {1, 2, 5, 10}}});
    std::map<std::string, Rows> given = {{single("k", 0), {1, 2}}, {single("k", 1), {5, 10}}};
    for (int h = 0; h < 4; ++h) given[single("q", h)] = {20.0 * h + 10, 20.0 * h + 20};
    write_model_with(folder_ / "single", kSingle, given);
  }
  void expect(const std::string& suffix, const Rows& queries, const Rows& keys) const {
    const std::string matrix = folder_ / ("matrix" + suffix);
    EXPECT_EQ(stored_values(matrix, in_layer_0("q_norm.weight")), queries);
    EXPECT_EQ(stored_values(matrix, in_layer_0("k_norm.weight")), keys);
    EXPECT_EQ(of_heads("single" + suffix, "q", queries.size() / 2), queries);
    EXPECT_EQ(of_heads("single" + suffix, "k", keys.size() / 2), keys);
  }
  Rows of_heads(const std::string& name, const char* kind, size_t heads) const {
    Rows all;
    for (size_t h = 0; h < heads; ++h) {
      const Rows own = stored_values(folder_ / name, single(kind, static_cast<int>(h)));
      all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }
  TemporaryFolder folder_;
};

// (1 + 5) / 2, (2 + 10) / 2; queries keep theirs.
TEST_F(GainsOfHeads, OfMergedKeysAreTheMean) {
  for (const char* name : {"matrix", "single"}) {
    convert(folder_ / name, folder_ / (std::string(name) + "-mean"), 1);
    convert(folder_ / name, folder_ / (std::string(name) + "-first"), 1,
            {.method = Method::kFirst});
  }
  expect("-mean", {10, 20, 30, 40, 50, 60, 70, 80}, {3, 6});
  expect("-first", {10, 20, 30, 40, 50, 60, 70, 80}, {1, 2});
}

TEST_F(GainsOfHeads, AreRepeatedWithTheirHeads) {
  for (const char* name : {"matrix", "single"}) {
    convert(folder_ / name, folder_ / (std::string(name) + "-wide"), 4);
  }
  expect("-wide", {10, 20, 30, 40, 50, 60, 70, 80}, {1, 2, 1, 2, 5, 10, 5, 10});
}

// KV head 1 comes first, with the queries that read it.
TEST_F(GainsOfHeads, MoveWithTheirHeads) {
  for (const char* name : {"matrix", "single"}) {
    const ModelConfig config = ModelFolder::open(folder_ / name).config();
    LayerTransform t = identity_transform(config);
    t.permutation = {1, 0};
    convert_by({t}, folder_ / name, folder_ / (std::string(name) + "-moved"), 2);
  }
  expect("-moved", {50, 60, 70, 80, 10, 20, 30, 40}, {5, 10, 1, 2});
}

// Every byte of the parent is read once, whatever becomes of it.
TEST_F(GainsOfHeads, AreReadOnce) {
  for (const char* name : {"matrix", "single"}) {
    const ModelFolder model = ModelFolder::open(folder_ / name);
    for (const int64_t kv_heads : {1, 2}) {
      const ConversionPlan plan = plan_conversion(
          model, {.model = folder_ / name, .n_kv_heads = kv_heads, .method = Method::kMean});
      EXPECT_EQ(plan.read_bytes, model.weight_bytes()) << name;
    }
  }
}

// A tensor a head may have a dtype of its own.
TEST_F(GainsOfHeads, MayBeStoredInSeveralTypes) {
  std::vector<TensorData> tensors = tiny_tensors(kSingle);
  for (TensorData& tensor : tensors) {
    if (tensor.spec.name == single("k", 0)) tensor.bytes = encode_values(Dtype::kF32, {1, 2});
    if (tensor.spec.name != single("k", 1)) continue;
    tensor.spec.dtype = Dtype::kBF16;
    tensor.bytes = encode_values(Dtype::kBF16, {5, 10});
  }
  write_tensors(folder_ / "single", tensors, 1);
  convert(folder_ / "single", folder_ / "mean", 1);
  EXPECT_EQ(of_heads("mean", "k", 1), (Rows{3, 6}));
  convert(folder_ / "single", folder_ / "same", 2);
  EXPECT_EQ(read_file(folder_ / "same/model.safetensors"),
            read_file(folder_ / "single/model.safetensors"));
}

TEST(GainsOfHeadsModel, MovedHeadsAreTheSameModel) {
  const std::pair<const char*, const char*> families[] = {
      {"olmo2", "none"}, {"cohere", "use_qk_norm"}, {"stablelm", "qk_layernorm"}};
  for (const auto& [family, key] : families) {
    SCOPED_TRACE(family);
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", {.model_type = family, .extra_config = {{key, true}}});
    const ModelConfig config = ModelFolder::open(temporary / "in").config();
    EXPECT_TRUE(config.attention.has_gains_of_heads());
    const Change change{.why = "moved", .permute = true, .turn_values = true};
    convert_by(rebased(config, change), temporary / "in", temporary / "out", config.n_kv_heads);
    const at::Tensor ids = random_ids(2, 17, config.vocab_size, 3);
    for (const at::Device device : devices()) {
      const auto logits = [&](const char* folder) {
        return all_logits(load_folder(temporary / folder, at::kFloat, device), ids);
      };
      EXPECT_LE(relative_error(logits("out"), logits("in")), 1e-5) << device;
    }
  }
}

// LayerNorm takes away what all channels of a head have in common: so do the moments, and RMSNorm does not.
TEST(GainsOfHeadsMoments, DoNotSeeTheMeanOfAHeadsChannels) {
  for (const QkNorm kind : {QkNorm::kLayer, QkNorm::kHead}) {
    PlantedLayer p = plant_layer({.source = {0, 1}, .attention = {.qk_norm = kind}});
    p.weights.q_gain = random_double({p.config.n_heads, p.config.head_dim}, 5);
    p.weights.k_gain = random_double({p.config.n_kv_heads, p.config.head_dim}, 6);
    const HeadMoments before = head_moments(p.weights, p.statistics, p.config);
    const at::Tensor row = random_double({1, 1, p.weights.k.size(2)}, 7);
    p.weights.q = p.weights.q.add(row);
    p.weights.k = p.weights.k.add(row);
    const HeadMoments after = head_moments(p.weights, p.statistics, p.config);
    const bool blind = kind == QkNorm::kLayer;
    EXPECT_EQ(at::allclose(after.key, before.key), blind);
    EXPECT_EQ(at::allclose(after.query_energy, before.query_energy), blind);
    EXPECT_EQ(at::allclose(after.key_size, before.key_size), blind);
  }
}

}  // namespace
}  // namespace regroup::testing
