// Folders as people have them, converted: transformers loads each result and computes our logits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include "convert/convert_tools.h"
#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/base/input_file.h"
#include "regroup/checkpoint/manifest.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using Json = nlohmann::ordered_json;
using Tensors = std::vector<TensorData>;

struct Strange {
  const char* id;
  std::function<void(Tensors&)> change;
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  TinyModelSpec spec = {};
  bool trust = false;
};

void without_model(Tensors& tensors) {
  for (TensorData& t : tensors) {
    if (t.spec.name.starts_with("model.")) t.spec.name.erase(0, 6);
  }
}

void as_doubles(Tensors& tensors) {
  for (TensorData& t : tensors) {
    std::string wide(t.bytes.size() * 2, '\0');
    for (size_t i = 0; i < t.bytes.size() / 4; ++i) {
      float value = 0;
      std::memcpy(&value, t.bytes.data() + 4 * i, 4);
      const double same = value;
      std::memcpy(wide.data() + 8 * i, &same, 8);
    }
    t.bytes = wide;
    t.spec.dtype = Dtype::kF64;
  }
}

void with_scales(Tensors& tensors) {
  for (const char* name : {"k_scale", "v_scale"}) {
    TensorData& scale = tensors.emplace_back();
    scale.spec.name = fmt::format("model.layers.1.self_attn.{}", name);
    scale.spec.dtype = Dtype::kF32;
    scale.bytes = "1234";
  }
}

void keep_head(Tensors& tensors) { tensors.front().spec.name = "lm_head.weight"; }

void drop_shared(Tensors& tensors) {
  std::erase_if(tensors, [](const TensorData& t) {
    return t.spec.name == "model.layers.1.mlp.up_proj.weight";
  });
}

const std::vector<Strange>& cases() {
  static const std::vector<Strange> kCases = {
      {"base_names", without_model},
      {"tied_head_kept",
       keep_head,
       {{"model.embed_tokens.weight", "lm_head.weight"}},
       {.tie_word_embeddings = true}},
      {"base_names_and_tied", without_model, {}, {.tie_word_embeddings = true}},
      {"shared",
       drop_shared,
       {{"model.layers.1.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"}}},
      {"float64", as_doubles, {{"format", "pt"}}, {.extra_config = {{"torch_dtype", "float64"}}}},
      {"cache_scales", with_scales},
      {"own_code",
       {},
       {{"format", "pt"}},
       {.extra_config = {{"auto_map",
                          {{"AutoConfig", "configuration_tiny.TinyConfig"},
                           {"AutoModelForCausalLM", "modeling_tiny.TinyForCausalLM"}}}}},
       true},
      {"no_window_key", {}, {{"format", "pt"}}, {.model_type = "mistral", .max_positions = 8192}},
  };
  return kCases;
}

void write_case(const std::string& folder, const Strange& c) {
  std::filesystem::create_directory(folder);
  Tensors tensors = tiny_tensors(c.spec);
  if (c.change) c.change(tensors);
  write_file(folder + "/model.safetensors", safetensors_bytes(tensors, c.metadata));
  Json config = Json::parse(tiny_config(c.spec));
  if (c.spec.model_type == "mistral") config.erase("sliding_window");
  write_file(folder + "/config.json", config.dump());
  if (!c.trust) return;
  write_file(
      folder + "/configuration_tiny.py",
      "from transformers import LlamaConfig\n\n\nclass TinyConfig(LlamaConfig):\n    pass\n");
  write_file(
      folder + "/modeling_tiny.py",
      "from transformers import LlamaForCausalLM\nfrom .configuration_tiny import TinyConfig\n\n\n"
      "class TinyForCausalLM(LlamaForCausalLM):\n    config_class = TinyConfig\n");
}

TEST(StrangeFolder, ConvertedLoadsInTransformers) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  const at::Tensor ids = random_ids(1, 17, 64, 3);
  const std::vector<int64_t> list(ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + 17);
  Json request = Json::array();
  std::vector<at::Tensor> ours;
  for (const Strange& c : cases()) {
    const std::string in = temporary / c.id;
    write_case(in, c);
    convert(in, in + "-g2", 2);
    for (const bool trust : {false, true}) {
      if (trust && !c.trust) continue;
      request.push_back({{"folder", in + "-g2"},
                         {"ids", Json::array({list})},
                         {"dtype", "float32"},
                         {"trust", trust}});
      ours.push_back(all_logits(load_folder(in + "-g2"), ids));
    }
  }
  ASSERT_FALSE(ask_oracle("logits.py", temporary, request).is_null());
  const SafetensorsFile theirs(InputFile(temporary / "logits.safetensors"));
  for (size_t i = 0; i < ours.size(); ++i) {
    const at::Tensor expected = at::empty(ours[i].sizes(), at::kFloat);
    theirs.read(*theirs.find(std::to_string(i)), 0,
                {static_cast<std::byte*>(expected.data_ptr()), expected.nbytes()});
    EXPECT_LE(relative_error(ours[i], expected), 1e-5) << request[i]["folder"];
  }
}

// Names and dtypes apart these are the tiny model itself.
TEST(StrangeFolder, IsReadAsTheSameModel) {
  const TemporaryFolder temporary;
  const at::Tensor ids = random_ids(1, 17, 64, 3);
  for (const Strange& c : cases()) {
    if (std::string(c.id) == "shared") continue;  // one of its tensors is another's
    SCOPED_TRACE(c.id);
    write_case(temporary / c.id, c);
    const std::string plain = temporary / (std::string(c.id) + "-plain");
    write_tiny_model(plain, c.spec);
    EXPECT_TRUE(
        all_logits(load_folder(temporary / c.id), ids).equal(all_logits(load_folder(plain), ids)));
  }
}

TEST(StrangeFolder, WhatIsNotWeightsComesAlong) {
  const TemporaryFolder temporary;
  const std::string in = temporary / "in";
  write_tiny_model(in, {});
  std::filesystem::create_directory(in + "/additional_chat_templates");
  for (const char* name :
       {"LICENSE", "chat_template.jinja", "additional_chat_templates/tool_use.jinja"}) {
    write_file(in + "/" + name, name);
  }
  const std::string out = temporary / "out";
  const ConvertResult result = convert(in, out, 2);
  for (const char* name :
       {"LICENSE", "chat_template.jinja", "additional_chat_templates/tool_use.jinja"}) {
    EXPECT_EQ(read_file(out + "/" + name), name);
  }
  EXPECT_EQ(result.digests.size(), 7U);  // with weights, config.json, regroup.json and the card
  EXPECT_EQ(verify_folder(out, in).problems, std::vector<std::string>{});
  convert(
      in, out, 1,
      {.method = Method::kMean, .output = {.overwrite = true}});  // its folder is known to be ours
  write_file(out + "/additional_chat_templates/mine.jinja", "x");
  expect_error<ConfigError>("OUTPUT_FOREIGN", [&] {
    convert(in, out, 2, {.method = Method::kMean, .output = {.overwrite = true}});
  });
}

}  // namespace
}  // namespace regroup::testing
