// Which files a conversion writes: shards, index, config.json and what lies beside them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "convert/convert_tools.h"
#include "regroup/base/digest.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using Json = nlohmann::ordered_json;

/// The index must name every tensor's file and the bytes of all tensors.
void expect_index_agrees(const std::string& folder) {
  const ModelFolder model = ModelFolder::open(folder);
  const Json index = Json::parse(read_file(folder + "/model.safetensors.index.json"));
  EXPECT_EQ(index.at("metadata").at("total_size"), model.weight_bytes());
  EXPECT_EQ(index.at("weight_map").size(), model.tensors().size());
  for (const ExpectedTensor& tensor : model.tensors()) {
    EXPECT_EQ(index.at("weight_map").at(tensor.name),
              model.shard_names()[model.locate(tensor.name).shard]);
  }
}

TEST(ConversionShards, KeepsTheParentsNames) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 4, .dtype = Dtype::kBF16, .n_shards = 3};
  write_tiny_model(temporary / "in", spec);
  convert(temporary / "in", temporary / "out", 1);
  const ModelFolder in = ModelFolder::open(temporary / "in");
  const ModelFolder out = ModelFolder::open(temporary / "out");
  EXPECT_EQ(out.shard_names(), in.shard_names());
  expect_index_agrees(temporary / "out");
  for (const ExpectedTensor& tensor : in.tensors()) {
    EXPECT_EQ(out.locate(tensor.name).shard, in.locate(tensor.name).shard) << tensor.name;
  }
}

// A single file under another name keeps it, and an index says which.
TEST(ConversionShards, AnOddSingleNameKeepsItsIndex) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  std::filesystem::rename(temporary / "in/model.safetensors", temporary / "in/weights.safetensors");
  Json map = Json::object();
  for (const TensorData& tensor : tiny_tensors({})) map[tensor.spec.name] = "weights.safetensors";
  temporary.write("in/model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  convert(temporary / "in", temporary / "out", 2);
  EXPECT_TRUE(path_exists(temporary / "out/weights.safetensors"));
  expect_index_agrees(temporary / "out");
}

// Filled in the table's order up to the limit; a tensor above it is alone in its file.
TEST(ConversionShards, MaxShardSize) {
  const TemporaryFolder temporary;
  const TinyModelSpec spec{.n_layers = 3, .n_shards = 2};
  write_tiny_model(temporary / "in", spec);
  constexpr int64_t kMax = 9000;  // embedding: 64 x 32 x 4 = 8192; gate: 48 x 32 x 4 = 6144
  convert(temporary / "in", temporary / "out", 2,
          {.method = Method::kMean, .max_shard_bytes = kMax});
  expect_index_agrees(temporary / "out");
  const ModelFolder out = ModelFolder::open(temporary / "out");
  const size_t n = out.shards().size();
  EXPECT_GT(n, 6u);
  EXPECT_EQ(out.shard_names()[0], fmt::format("model-00001-of-{:05}.safetensors", n));
  for (size_t i = 0; i < n; ++i) {
    int64_t bytes = 0;
    for (const TensorInfo& tensor : out.shards()[i]->tensors()) bytes += tensor.bytes();
    EXPECT_LE(bytes, kMax);
    if (i + 1 < n) {  // the next tensor would not have fitted
      EXPECT_GT(bytes + out.shards()[i + 1]->tensors().front().bytes(), kMax) << i;
    }
  }
  convert(temporary / "in", temporary / "one", 2,
          {.method = Method::kMean, .max_shard_bytes = int64_t{1} << 30});
  EXPECT_EQ(ModelFolder::open(temporary / "one").shard_names(),
            std::vector<std::string>{"model.safetensors"});
  EXPECT_FALSE(path_exists(temporary / "one/model.safetensors.index.json"));
  for (const ExpectedTensor& tensor : out.tensors()) {
    EXPECT_EQ(stored_bytes(temporary / "out", tensor.name),
              stored_bytes(temporary / "one", tensor.name));
  }
}

// Limit below every tensor: one tensor a file.
TEST(ConversionShards, ATensorAboveTheLimitIsAlone) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {.n_layers = 1});
  convert(temporary / "in", temporary / "out", 2, {.method = Method::kMean, .max_shard_bytes = 1});
  const ModelFolder out = ModelFolder::open(temporary / "out");
  EXPECT_EQ(out.shards().size(), out.tensors().size());
}

// Every key keeps its value and place; numbers keep their spelling where JSON has one.
TEST(ConversionConfig, OnlyTheHeadCountChanges) {
  struct Case {
    const char* why;
    const char* kv_heads;  // as the parent says it, with its comma
  };
  const std::string head =
      "{\n  \"architectures\": [\n    \"LlamaForCausalLM\"\n  ],\n  \"zebra\": {\n    \"b\": 1,\n"
      "    \"a\": null\n  },\n  \"model_type\": \"llama\",\n  \"num_attention_heads\": 4,\n";
  const std::string tail =
      "  \"hidden_size\": 32,\n  \"intermediate_size\": 48,\n  \"num_hidden_layers\": 2,\n"
      "  \"rms_norm_eps\": 1e-05,\n  \"vocab_size\": 64,\n  \"dtype\": \"float32\"\n}\n";
  const Case cases[] = {{"set", "  \"num_key_value_heads\": 4,\n"}, {"absent", ""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", {});
    temporary.write("in/config.json", head + c.kv_heads + tail);
    convert(temporary / "in", temporary / "out", 2);
    EXPECT_EQ(read_file(temporary / "out/config.json"),
              head + "  \"num_key_value_heads\": 2,\n" + tail);
    convert(temporary / "in", temporary / "cast", 2, {.method = Method::kMean, .dtype = "bf16"});
    std::string cast = head + "  \"num_key_value_heads\": 2,\n" + tail;
    cast.replace(cast.find("\"float32\""), 9, "\"bfloat16\"");
    EXPECT_EQ(read_file(temporary / "cast/config.json"), cast);
  }
}

TEST(ConversionFiles, CompanionsKeepTheirBytes) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", {});
  const std::map<std::string, std::string> companions = {
      {"tokenizer.model", std::string("\0\xff\x0a not parsed", 13)},
      {"tokenizer_config.json", "{ \"add_bos_token\":true }"},
      {"special_tokens_map.json", "{}\r\n"},
      {"generation_config.json", "{\"eos_token_id\": 2}"},
      {"chat_template.jinja", "{{ messages }}"}};
  for (const auto& [name, bytes] : companions) temporary.write("in/" + name, bytes);
  temporary.write("in/optimizer.bin", "not part of a model");
  const ConvertResult result = convert(temporary / "in", temporary / "out", 2);
  for (const auto& [name, bytes] : companions) {
    EXPECT_EQ(read_file(temporary / "out/" + name), bytes) << name;
  }
  // What lies in the folder is what the digests say, and no more.
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(temporary / "out")) {
    found.insert(entry.path().filename());
  }
  std::set<std::string> digested;
  for (const auto& [name, digest] : result.digests) {
    digested.insert(name);
    EXPECT_EQ(sha256_of_file(temporary / "out/" + name), digest) << name;
  }
  EXPECT_EQ(found, digested);
  EXPECT_FALSE(found.contains("optimizer.bin"));
  EXPECT_FALSE(path_exists(temporary / "out.partial"));
}

}  // namespace
}  // namespace regroup::testing
