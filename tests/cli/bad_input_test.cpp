// Every input that is wrong: the exit code and the stable code, a message with what must hold, what was
// found, where and what to do, and nothing written.
#include <filesystem>
#include <limits>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

const TinyModelSpec kSpec{.n_layers = 1, .n_heads = 8, .n_kv_heads = 4, .head_dim = 4};
constexpr const char* kShard = "model/model.safetensors";
constexpr const char* kKey = "model.layers.0.self_attn.k_proj.weight";

/// Puts `to` in place of `from` in config.json.
std::function<void(const Workplace&)> config_with(const std::string& from, const std::string& to) {
  return [=](const Workplace& w) {
    std::string config = read_file(w.model + "/config.json");
    const size_t at = config.find(from);
    ASSERT_NE(at, std::string::npos) << config;
    w.folder.write("model/config.json", config.replace(at, from.size(), to));
  };
}

/// Writes the weights again after `change`.
std::function<void(const Workplace&)> tensors_with(
    const std::function<void(std::vector<TensorData>&)>& change) {
  return [=](const Workplace& w) {
    std::vector<TensorData> tensors = tiny_tensors(kSpec);
    change(tensors);
    write_tensors(w.model, tensors, 1);
  };
}

TensorData& find(std::vector<TensorData>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(),
                       [&](const TensorData& tensor) { return tensor.spec.name == name; });
}

TEST(BadInput, Folders) {
  check_all({
      {"no such folder",
       {},
       {"convert", "@nosuch", "OUT", "--kv-heads", "2"},
       3,
       "MODEL_MISSING",
       {"@nosuch", "must be a folder", "does not exist", "check the spelling"}},
      {"a file",
       {},
       {"convert", "@model/config.json", "OUT", "--kv-heads", "2"},
       3,
       "MODEL_NOT_FOLDER",
       {"@model/config.json", "found a file", "pass the folder"}},
      {"no such folder to eval",
       [](const auto& w) { w.folder.write("a.txt", "Once."); },
       {"eval", "@nosuch", "--text", "@a.txt", "--device", "cpu"},
       3,
       "MODEL_MISSING",
       {"@nosuch"}},
      {"no such folder to plan",
       {},
       {"plan", "@nosuch"},
       3,
       "CFG_MISSING",
       {"@nosuch", "must exist"}},
      {"no such folder to uptrain",
       [](const auto& w) { w.folder.write("a.txt", "Once."); },
       {"uptrain", "@nosuch", "OUT", "--data", "@a.txt", "--steps", "1"},
       3,
       "MODEL_MISSING",
       {"@nosuch", "does not exist"}},
      {"a name of the hub",
       {},
       {"convert", "example/tiny", "OUT", "--kv-heads", "2"},
       3,
       "MODEL_MISSING",
       {"does not exist", "nothing is downloaded", "hf download example/tiny"}},
      {"a name of the hub to plan",
       {},
       {"plan", "example/tiny"},
       3,
       "CFG_MISSING",
       {"hf download"}},
      {"a GGUF file to generate",
       [](const auto& w) { w.folder.write("a.gguf", "GGUF"); },
       {"generate", "@a.gguf", "--prompt", "a"},
       4,
       "MODEL_FORMAT",
       {"found a GGUF file", "use the Hugging Face folder"}},
      {"a GGUF file to plan",
       [](const auto& w) { w.folder.write("a.gguf", "GGUF"); },
       {"plan", "@a.gguf"},
       4,
       "MODEL_FORMAT",
       {"found a GGUF file"}},
      {"an adapter to eval",
       [](const auto& w) {
         fs::remove(w.model + "/config.json");
         w.folder.write("model/adapter_config.json", "{}");
         w.folder.write("a.txt", "Once.");
       },
       {"eval", "MODEL", "--text", "@a.txt", "--device", "cpu"},
       4,
       "MODEL_FORMAT",
       {"an adapter alone", "merge_and_unload"}},
      {"an adapter to tokenize",
       [](const auto& w) {
         fs::remove(w.model + "/config.json");
         w.folder.write("model/adapter_config.json", "{}");
         w.folder.write("a.txt", "Once.");
       },
       {"tokenize", "MODEL", "@a.txt", "--out", "@a.bin"},
       4,
       "MODEL_FORMAT",
       {"an adapter alone"}},
      {"no config.json",
       [](const auto& w) { fs::remove(w.model + "/config.json"); },
       kConvert,
       3,
       "CFG_MISSING",
       {"@model/config.json", "must exist", "fetch config.json of the same model"}},
      {"no weights",
       [](const auto& w) { fs::remove(w.folder / kShard); },
       kConvert,
       3,
       "MODEL_NO_WEIGHTS",
       {"MODEL", "must hold model.safetensors", "found neither", "fetch"}},
      {"pickled weights alone",
       [](const auto& w) { fs::rename(w.folder / kShard, w.model + "/pytorch_model.bin"); },
       kConvert,
       4,
       "PICKLE_REFUSED",
       {"MODEL", "found pytorch_model.bin", "convert them"}},
  });
}

TEST(BadInput, Configs) {
  check_all({
      {"cut",
       [](const auto& w) { w.folder.write("model/config.json", "{\"model_type\": \"llama\","); },
       kConvert,
       3,
       "JSON_SYNTAX",
       {"@model/config.json"}},
      {"empty",
       [](const auto& w) { w.folder.write("model/config.json", ""); },
       kConvert,
       3,
       "JSON_SYNTAX",
       {"@model/config.json"}},
      {"a list",
       [](const auto& w) { w.folder.write("model/config.json", "[1]"); },
       kConvert,
       3,
       "CFG_NOT_OBJECT",
       {"@model/config.json", "must be a JSON object, found array"}},
      {"a word for a number",
       config_with("\"num_attention_heads\": 8", "\"num_attention_heads\": \"8\""),
       kConvert,
       3,
       "CFG_TYPE",
       {"@model/config.json", "\"num_attention_heads\" must be an integer", "found \"8\""}},
      {"a fraction",
       config_with("\"num_attention_heads\": 8", "\"num_attention_heads\": 8.5"),
       kConvert,
       3,
       "CFG_RANGE",
       {"@model/config.json", "found 8.5"}},
      {"a negative number",
       config_with("\"num_hidden_layers\": 1", "\"num_hidden_layers\": -1"),
       kConvert,
       3,
       "CFG_RANGE",
       {"\"num_hidden_layers\" must be an integer from 1", "found -1"}},
      {"a missing key",
       config_with("\"num_hidden_layers\"", "\"n_layers\""),
       kConvert,
       3,
       "CFG_MISSING_KEY",
       {"@model/config.json", "must hold \"num_hidden_layers\""}},
      {"another family",
       config_with("\"llama\"", "\"bert\""),
       kConvert,
       4,
       "CFG_UNSUPPORTED",
       {"@model/config.json", "model_type \"bert\"", "supported: baichuan"}},
      {"heads that do not divide",
       config_with("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 3"),
       kConvert,
       3,
       "CFG_INCONSISTENT",
       {"must be a multiple of num_key_value_heads, found 8 and 3"}},
      {"another size than the weights",
       config_with("\"vocab_size\": 64", "\"vocab_size\": 65"),
       kConvert,
       3,
       "CFG_TENSOR_SHAPE",
       {"config.json: vocab_size is 65, but the tensors have 64", "[64, 32]", "different models"}},
  });
}

TEST(BadInput, Weights) {
  const auto header = [](uint64_t bytes) {
    return [bytes](const Workplace& w) {
      std::string file = read_file(w.folder / kShard);
      for (int i = 0; i < 8; ++i)
        file[static_cast<size_t>(i)] = static_cast<char>(bytes >> (8 * i));
      w.folder.write(kShard, file);
    };
  };
  check_all({
      {"a truncated shard",
       [](const auto& w) { fs::resize_file(w.folder / kShard, 6000); },
       kConvert,
       3,
       "ST_DATA_TRUNCATED",
       {kShard, "need 47488 data bytes, the file has 4808", "incomplete"}},
      {"an empty shard",
       [](const auto& w) { fs::resize_file(w.folder / kShard, 0); },
       kConvert,
       3,
       "ST_TOO_SHORT",
       {kShard, "at least 8 bytes, found 0", "incomplete"}},
      {"a header longer than the file",
       header(1 << 26),
       kConvert,
       3,
       "ST_HEADER_PAST_EOF",
       {kShard, "67108864"}},
      {"a header of 2^63 bytes",
       header(uint64_t{1} << 63),
       kConvert,
       3,
       "ST_HEADER_TOO_LARGE",
       {kShard, "9223372036854775808"}},
      {"a header that is none", header(16), kConvert, 3, "ST_JSON_SYNTAX", {kShard}},
      {"offsets that lie",
       [](const auto& w) {
         std::string file = read_file(w.folder / kShard);
         const size_t at = file.find("\"data_offsets\":[0,");
         ASSERT_NE(at, std::string::npos);
         file[at + 16] = '8';
         w.folder.write(kShard, file);
       },
       kConvert,
       3,
       "ST_SIZE_MISMATCH",
       {kShard, "model.embed_tokens.weight", "8"}},
      {"a missing tensor",
       tensors_with([](auto& tensors) {
         std::erase_if(tensors, [](const TensorData& t) { return t.spec.name == kKey; });
       }),
       kConvert,
       3,
       "CFG_TENSOR_MISSING",
       {kShard, kKey, "must be there (shape [16, 32])"}},
      {"an unexpected tensor",
       tensors_with([](auto& tensors) {
         tensors.push_back({{"model.extra.weight", Dtype::kF32, {1}}, std::string(4, '\0')});
       }),
       kConvert,
       3,
       "CFG_TENSOR_UNEXPECTED",
       {kShard, "model.extra.weight", "LlamaForCausalLM"}},
      {"a wrong shape",
       tensors_with([](auto& tensors) {
         find(tensors, kKey).spec.shape = {32, 16};
       }),
       kConvert,
       3,
       "CFG_TENSOR_SHAPE",
       {kShard, kKey, "asks for shape [16, 32]", "found [32, 16]"}},
      {"integers",
       tensors_with([](auto& tensors) { find(tensors, kKey).spec.dtype = Dtype::kI32; }),
       kConvert,
       3,
       "CFG_TENSOR_DTYPE",
       {kShard, kKey, "must be F16, BF16, F32 or F64, found I32"}},
  });
}

/// Element 5 of a tensor becomes NaN.
void plant_nan(std::vector<TensorData>& tensors) {
  const std::string nan = encode_values(Dtype::kF32, {std::numeric_limits<double>::quiet_NaN()});
  find(tensors, kKey).bytes.replace(20, 4, nan);
}

TEST(BadInput, WeightsThatAreNoNumbers) {
  const auto plant = [](const Workplace& w) {
    tensors_with(plant_nan)(w);
    TokenFileWriter writer(w.folder / "a.bin", 64);
    writer.add(std::vector<int32_t>(40, 1));
    writer.finish();
  };
  const Words words = {"MODEL", kKey, "weights must be finite", "element 5", "damaged"};
  // A conversion finds it on the way: what was written so far stays in OUT.partial, OUT is absent.
  const Workplace w;
  plant(w);
  const Finished run = regroup({"convert", w.model, w.out, "--kv-heads", "2"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_TRUE(is_civil(run.err));
  EXPECT_TRUE(contains(run.err, "error[VAL_NONFINITE] "));
  for (const std::string& word : words) EXPECT_TRUE(contains(run.err, resolved(w, word)));
  EXPECT_FALSE(path_exists(w.out));
  check_all({
      {"eval",
       plant,
       {"eval", "MODEL", "--tokens", "@a.bin", "--device", "cpu"},
       3,
       "VAL_NONFINITE",
       words},
      {"uptrain",
       plant,
       {"uptrain", "MODEL", "OUT", "--data", "@a.bin", "--steps", "1", "--seq-len", "16",
        "--device", "cpu"},
       3,
       "VAL_NONFINITE",
       words},
  });
}

TEST(BadInput, Indexes) {
  const auto index = [](const std::string& from, const std::string& to) {
    return [=](const Workplace& w) {
      fs::remove(w.folder / kShard);
      TinyModelSpec spec = kSpec;
      spec.n_shards = 2;
      write_tiny_model(w.model, spec);
      const std::string path = w.model + "/model.safetensors.index.json";
      std::string json = read_file(path);
      const size_t at = json.find(from);
      ASSERT_NE(at, std::string::npos) << json;
      write_file(path, json.replace(at, from.size(), to));
    };
  };
  const char* name = "model-00001-of-00002.safetensors";
  check_all({
      {"a path that leaves the folder",
       index(name, "../x.safetensors"),
       kConvert,
       3,
       "PATH_TRAVERSAL",
       {"index.json", "inside the folder", "../x.safetensors"}},
      {"an absolute path",
       index(name, "/etc/passwd.safetensors"),
       kConvert,
       3,
       "PATH_ABSOLUTE",
       {"index.json", "/etc/passwd.safetensors"}},
      {"a link out of a folder",
       index(name, "a/../../x.safetensors"),
       kConvert,
       3,
       "PATH_TRAVERSAL",
       {"index.json", "a/../../x.safetensors"}},
      {"a shard that is not there",
       index(name, "model-00007-of-00002.safetensors"),
       kConvert,
       3,
       "SHARD_MISSING",
       {"index.json", "1 of 3 shards are missing: model-00007", "fetch"}},
      {"a tensor of another shard",
       index("\"lm_head.weight\": \"model-00002", "\"lm_head.weight\": \"model-00001"),
       kConvert,
       3,
       "IDX_TENSOR_MISSING",
       {"lm_head.weight", "the index says model-00001-of-00002.safetensors"}},
  });
}

}  // namespace
}  // namespace regroup::testing
