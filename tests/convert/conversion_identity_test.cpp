// Conversions that must give bytes known beforehand.
#include <gtest/gtest.h>

#include "convert/convert_tools.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/manifest.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

struct Variant {
  const char* why;
  TinyModelSpec spec;
};

std::vector<Variant> variants() {
  return {{"llama", {.n_heads = 12, .n_kv_heads = 12, .head_dim = 10, .hidden_size = 96}},
          {"biases", {.attention_bias = true, .mlp_bias = true}},
          {"tied", {.dtype = Dtype::kBF16, .tie_word_embeddings = true}},
          {"mistral", {.model_type = "mistral", .dtype = Dtype::kF16, .sliding_window = 5}},
          {"qwen2", {.model_type = "qwen2", .dtype = Dtype::kBF16}},
          {"stablelm", {.model_type = "stablelm", .dtype = Dtype::kBF16, .attention_bias = true}},
          {"shards", {.n_layers = 3, .dtype = Dtype::kBF16, .n_shards = 4}},
          {"grouped", {.n_heads = 8, .n_kv_heads = 4, .attention_bias = true}}};
}

/// The model of `spec` with every KV head written `copies` times: the same function, more heads.
void write_expanded(const std::string& folder, const TinyModelSpec& spec, int64_t copies) {
  TinyModelSpec wide = spec;
  wide.n_kv_heads *= copies;
  write_tiny_model(folder, wide);
  std::vector<TensorData> tensors = tiny_tensors(spec);
  for (TensorData& tensor : tensors) {
    const std::string& name = tensor.spec.name;
    if (name.find("k_proj") == std::string::npos && name.find("v_proj") == std::string::npos)
      continue;
    const size_t head = tensor.bytes.size() / static_cast<size_t>(spec.n_kv_heads);
    std::string bytes;
    for (size_t at = 0; at < tensor.bytes.size(); at += head) {
      for (int64_t i = 0; i < copies; ++i) bytes += tensor.bytes.substr(at, head);
    }
    tensor.bytes = bytes;
    tensor.spec.shape[0] *= copies;
  }
  write_tensors(folder, tensors, spec.n_shards);
}

/// config.json and the shards; an index may name its tensors in any order.
std::string model_bytes(const std::string& folder) {
  const ModelFolder model = ModelFolder::open(folder);
  std::string all = read_file(folder + "/config.json");
  for (const std::string& name : model.shard_names()) {
    all += name + "\n" + read_file(folder + "/" + name);
  }
  return all;
}

TEST(ConversionIdentity, AsManyHeadsGiveTheParentsBytes) {
  for (const Variant& variant : variants()) {
    for (const std::string& method : method_names()) {
      SCOPED_TRACE(std::string(variant.why) + " by " + method);
      const TemporaryFolder temporary;
      write_tiny_model(temporary / "in", variant.spec);
      const ConvertResult result =
          convert(temporary / "in", temporary / "out", variant.spec.n_kv_heads,
                  {.method = parse_method(method)});
      EXPECT_TRUE(model_bytes(temporary / "in") == model_bytes(temporary / "out"));
      EXPECT_EQ(verify_folder(temporary / "out", temporary / "in").changed,
                std::vector<std::string>{});
      EXPECT_EQ(result.resumed_files, 0);
    }
  }
}

// Each KV head 2, 3 and 7 times: merging the copies gives back config and weights to the byte.
TEST(ConversionIdentity, ExpandedHeadsComeBack) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF16}) {
    for (const int64_t copies : {2, 3, 7}) {
      for (const char* method : {"mean", "first"}) {
        SCOPED_TRACE(copies);
        const TemporaryFolder temporary;
        const TinyModelSpec spec{.n_heads = 2 * copies,
                                 .n_kv_heads = 2,
                                 .dtype = dtype,
                                 .attention_bias = true,
                                 .n_shards = 2};
        write_tiny_model(temporary / "grouped", spec);
        write_expanded(temporary / "expanded", spec, copies);
        convert(temporary / "expanded", temporary / "back", 2, {.method = parse_method(method)});
        EXPECT_TRUE(model_bytes(temporary / "grouped") == model_bytes(temporary / "back"));
      }
    }
  }
}

TEST(ConversionIdentity, TheSameCommandGivesTheSameFiles) {
  for (const Variant& variant : variants()) {
    SCOPED_TRACE(variant.why);
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", variant.spec);
    convert(temporary / "in", temporary / "a", 2);
    convert(temporary / "in", temporary / "b", 2);
    EXPECT_TRUE(read_tree(temporary / "a") == read_tree(temporary / "b"));
    EXPECT_TRUE(verify_folder(temporary / "a", temporary / "in").problems.empty());
  }
}

// Only K and V differ from the parent, in every variant.
TEST(ConversionIdentity, EverythingElseIsUntouched) {
  for (const Variant& variant : variants()) {
    SCOPED_TRACE(variant.why);
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", variant.spec);
    const ModelFolder model = ModelFolder::open(temporary / "in");
    const ConvertOptions options{
        .model = temporary / "in", .n_kv_heads = 2, .method = Method::kMean};
    const ConversionPlan plan = plan_conversion(model, options);
    int64_t n_kv = 0;
    for (const ExpectedTensor& tensor : model.tensors()) n_kv += tensor.is_kv() ? 1 : 0;
    EXPECT_EQ(plan.n_changed, n_kv);
    EXPECT_EQ(plan.n_copied, static_cast<int64_t>(model.tensors().size()) - n_kv);
    convert(temporary / "in", temporary / "out", 2);
    for (const ExpectedTensor& tensor : model.tensors()) {
      const bool same = stored_bytes(temporary / "in", tensor.name) ==
                        stored_bytes(temporary / "out", tensor.name);
      EXPECT_EQ(same, !tensor.is_kv()) << tensor.name;
    }
  }
}

// Copied tensors are rounded as round_to() does; merged ones once, from the float64 mean.
TEST(ConversionDtype, CastsEveryTensorOnce) {
  const std::pair<const char*, Dtype> targets[] = {
      {"bf16", Dtype::kBF16}, {"f16", Dtype::kF16}, {"f32", Dtype::kF32}};
  for (const Dtype from : {Dtype::kF32, Dtype::kBF16, Dtype::kF16}) {
    for (const auto& [name, to] : targets) {
      SCOPED_TRACE(std::string(dtype_name(from)) + " to " + name);
      const TemporaryFolder temporary;
      write_tiny_model(temporary / "in", {.dtype = from});
      convert(temporary / "in", temporary / "out", 2, {.method = Method::kMean, .dtype = name});
      for (const char* copied : {"model.embed_tokens.weight", "model.norm.weight"}) {
        EXPECT_EQ(stored_bytes(temporary / "out", copied),
                  encode_values(to, stored_values(temporary / "in", copied)));
      }
      const auto k = stored_values(temporary / "in", in_layer_0("k_proj.weight"));
      const size_t head = k.size() / 4;
      std::vector<double> mean;
      for (const size_t group : {size_t{0}, 2 * head}) {
        for (size_t i = group; i < group + head; ++i) mean.push_back((k[i] + k[i + head]) / 2);
      }
      EXPECT_EQ(stored_bytes(temporary / "out", in_layer_0("k_proj.weight")),
                encode_values(to, mean));
      const ModelConfig config = ModelFolder::open(temporary / "out").config();
      EXPECT_EQ(config.dtype, to == Dtype::kBF16  ? "bfloat16"
                              : to == Dtype::kF16 ? "float16"
                                                  : "float32");
    }
  }
}

// 70000 has no float16: the largest is 65504.
TEST(ConversionDtype, RefusesWhatDoesNotFit) {
  const TemporaryFolder temporary;
  write_model_with(temporary / "in", {.n_layers = 1},
                   {{"model.norm.weight", std::vector<double>(32, 70000)}});
  const ErrorInfo error = expect_error("VAL_OVERFLOW", [&] {
    convert(temporary / "in", temporary / "out", 2, {.method = Method::kMean, .dtype = "f16"});
  });
  EXPECT_EQ(error.message, temporary /
                               "in: tensor \"model.norm.weight\": 32 values are too large "
                               "for F16");
  EXPECT_EQ(error.hint, "choose `dtype` bf16 or f32");
  EXPECT_FALSE(path_exists(temporary / "out"));
}

}  // namespace
}  // namespace regroup::testing
