// The tiny models that other tests stand on: they open as real models do, and their bytes follow
// from the spec alone.
#include "support/tiny_model.h"

#include <gtest/gtest.h>

#include "regroup/base/digest.h"
#include "regroup/checkpoint/model_folder.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

std::vector<double> read_values(const ModelFolder& folder, const std::string& name) {
  const TensorInfo& info = *folder.locate(name).info;
  std::vector<std::byte> bytes(static_cast<size_t>(info.bytes()));
  folder.read(name, 0, bytes);
  std::vector<double> values(bytes.size() * 8 / static_cast<size_t>(dtype_bits(info.dtype)));
  widen(info.dtype, bytes, values);
  return values;
}

TEST(TinyModel, OpensInEveryForm) {
  const std::vector<TinyModelSpec> specs = {
      {},
      {.n_kv_heads = 2, .dtype = Dtype::kBF16, .n_shards = 3},
      {.dtype = Dtype::kF16, .tie_word_embeddings = true},
      {.attention_bias = true, .mlp_bias = true, .n_shards = 2},
      {.head_dim = 16, .hidden_size = 24},
      {.model_type = "mistral", .sliding_window = 16},
      {.model_type = "qwen2", .dtype = Dtype::kBF16, .sliding_window = 16},
      {.model_type = "stablelm", .attention_bias = true, .n_shards = 2},
  };
  for (const TinyModelSpec& spec : specs) {
    SCOPED_TRACE(tiny_config(spec));
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "model", spec);
    const ModelFolder folder = ModelFolder::open(temporary / "model");
    EXPECT_EQ(folder.shards().size(), static_cast<size_t>(spec.n_shards));
    EXPECT_EQ(folder.config().n_kv_heads, spec.n_kv_heads);
    for (const ExpectedTensor& tensor : folder.tensors()) {
      EXPECT_EQ(folder.locate(tensor.name).info->dtype, spec.dtype);
    }
  }
}

TEST(TinyModel, ShardsDoNotChangeTheValues) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "one", {});
  write_tiny_model(temporary / "three", {.n_shards = 3});
  const ModelFolder one = ModelFolder::open(temporary / "one");
  const ModelFolder three = ModelFolder::open(temporary / "three");
  for (const ExpectedTensor& tensor : one.tensors()) {
    EXPECT_EQ(read_values(one, tensor.name), read_values(three, tensor.name)) << tensor.name;
  }
}

TEST(TinyModel, TheSameSpecGivesTheSameBytes) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.dtype = Dtype::kBF16, .n_shards = 2, .seed = 7};
  write_tiny_model(temporary / "a", spec);
  write_tiny_model(temporary / "b", spec);
  EXPECT_EQ(read_tree(temporary / "a"), read_tree(temporary / "b"));
  TinyModelSpec other = spec;
  other.seed = 8;
  write_tiny_model(temporary / "c", other);
  EXPECT_NE(read_tree(temporary / "a"), read_tree(temporary / "c"));
}

TEST(TinyModel, DistinctHeadsRepeatWithinTheirGroup) {
  // 4 heads of 2 rows, 2 distinct: heads 0 and 1 are equal, heads 2 and 3 are equal.
  const TinyModelSpec spec{.head_dim = 2, .hidden_size = 3, .distinct_kv_heads = 2};
  const auto k = tiny_values(spec, "model.layers.0.self_attn.k_proj.weight", {8, 3});
  const auto head = [&](int h) { return std::vector(k.begin() + h * 6, k.begin() + (h + 1) * 6); };
  EXPECT_EQ(head(0), head(1));
  EXPECT_EQ(head(2), head(3));
  EXPECT_NE(head(0), head(2));
  const auto q = tiny_values(spec, "model.layers.0.self_attn.q_proj.weight", {8, 3});
  EXPECT_NE(std::vector(q.begin(), q.begin() + 6), std::vector(q.begin() + 6, q.begin() + 12));
}

// The bytes themselves, so that a change of the generator (which would change every golden number
// taken with it) does not pass unseen.
TEST(TinyModel, GoldenBytes) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {});
  EXPECT_EQ(sha256_of_file(temporary / "model/model.safetensors"),
            "c87468bcec2ab8c74c55bc1c1d94525a958efebf5808ec14dbb5cbcff8b9e92a");
}

}  // namespace
}  // namespace regroup::testing
