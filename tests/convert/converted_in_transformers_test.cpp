// Converted folders are what other programs take them for: transformers computes our logits from
// them, and safetensors' own reader sees our bytes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "convert/convert_tools.h"
#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/base/digest.h"
#include "regroup/base/input_file.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup::testing {
namespace {

using Json = nlohmann::ordered_json;

TEST(ConvertedFolder, TransformersGivesOurLogits) {
  REGROUP_REQUIRE_ORACLE();
  const std::pair<const char*, TinyModelSpec> cases[] = {
      {"mean", {.n_heads = 12, .n_kv_heads = 12, .head_dim = 10, .hidden_size = 96}},
      {"mean", {.n_layers = 3, .dtype = Dtype::kBF16, .tie_word_embeddings = true, .n_shards = 3}},
      {"first", {.attention_bias = true, .mlp_bias = true}},
      {"random", {.model_type = "mistral", .dtype = Dtype::kF16, .sliding_window = 5}},
      {"mean", {.model_type = "qwen2", .dtype = Dtype::kBF16, .tie_word_embeddings = true}},
      {"mean", {.model_type = "stablelm", .dtype = Dtype::kBF16, .attention_bias = true}},
      {"mean", {.n_heads = 8, .n_kv_heads = 4, .head_dim = 6, .hidden_size = 24}},
  };
  const TemporaryFolder temporary;
  Json request = Json::array();
  std::vector<at::Tensor> ours;
  for (const auto& [method, spec] : cases) {
    const std::string name = temporary / fmt::format("model{}", request.size());
    write_tiny_model(name, spec);
    convert(name, name + "-g2", 2, {.method = parse_method(method)});
    const at::Tensor ids = random_ids(1, 17, spec.vocab_size, 3);
    const int64_t* p = ids.data_ptr<int64_t>();
    request.push_back({{"folder", name + "-g2"},
                       {"ids", Json::array({std::vector<int64_t>(p, p + 17)})},
                       {"dtype", "float32"}});
    ours.push_back(all_logits(load_folder(name + "-g2"), ids));
  }
  ASSERT_FALSE(ask_oracle("logits.py", temporary, request).is_null());
  const SafetensorsFile theirs(InputFile(temporary / "logits.safetensors"));
  for (size_t i = 0; i < ours.size(); ++i) {
    const at::Tensor expected = at::empty(ours[i].sizes(), at::kFloat);
    theirs.read(*theirs.find(std::to_string(i)), 0,
                {static_cast<std::byte*>(expected.data_ptr()), expected.nbytes()});
    EXPECT_LE(relative_error(ours[i], expected), 1e-5) << "case " << i;
  }
}

TEST(ConvertedFolder, SafetensorsReadsOurFiles) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {.dtype = Dtype::kBF16, .attention_bias = true});
  convert(temporary / "in", temporary / "one", 2);
  convert(temporary / "in", temporary / "many", 2,
          {.method = Method::kMean, .max_shard_bytes = 5000});
  const std::string folders[] = {temporary / "one", temporary / "many"};
  const Json found = ask_oracle("read_safetensors.py", temporary, folders);
  for (size_t i = 0; i < found.size(); ++i) {
    const ModelFolder out = ModelFolder::open(folders[i]);
    ASSERT_EQ(found[i].size(), out.tensors().size());
    for (const ExpectedTensor& tensor : out.tensors()) {
      const Json& seen = found[i].at(tensor.name);
      EXPECT_EQ(seen.at("file"), out.shard_names()[out.locate(tensor.name).shard]);
      EXPECT_EQ(seen.at("dtype"), "torch.bfloat16");
      EXPECT_EQ(seen.at("shape"), Json(tensor.shape));
      EXPECT_EQ(seen.at("sha256"), sha256_of_text(stored_bytes(folders[i], tensor.name)));
    }
  }
  EXPECT_EQ(found.size(), 2u);
}

}  // namespace
}  // namespace regroup::testing
