// Folders that are wrong in one way and folders that only look wrong.
#include "regroup/checkpoint/model_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "regroup/base/strict_json.h"
#include "support/expect_error.h"
#include "support/safetensors_cases.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

constexpr const char* kShard2 = "model-00002-of-00004.safetensors";
constexpr const char* kNorm = "model.norm.weight";  // in the last shard

/// A good model of four shards to break.
class Model {
 public:
  Model() { write_tiny_model(path(), {.n_shards = 4}); }
  std::string path() const { return temporary_ / "model"; }
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  std::string outside(const std::string& name) const { return temporary_ / name; }
  std::string index() const { return *this / "model.safetensors.index.json"; }
  std::string shard(int number) const {
    return *this / ("model-0000" + std::to_string(number) + "-of-00004.safetensors");
  }
  ModelFolder open() const { return ModelFolder::open(path()); }

  void edit(const std::string& name, const std::function<void(Json&)>& change) const {
    Json root = Json::parse(read_file(*this / name));
    change(root);
    write_file(*this / name, root.dump(2));
  }
  void edit_index(const std::function<void(Json&)>& change) const {
    edit("model.safetensors.index.json", change);
  }
  /// Points every tensor of shard 2 to `name`.
  void rename_shard_2(const std::string& name) const {
    edit_index([&](Json& root) {
      for (auto& [tensor, file] : root["weight_map"].items()) {
        if (file == kShard2) file = name;
      }
    });
  }
  void rewrite_one_file(const std::function<void(std::vector<TensorData>&)>& change) const {
    for (int i = 1; i <= 4; ++i) fs::remove(shard(i));
    fs::remove(index());
    std::vector<TensorData> tensors = tiny_tensors({});
    change(tensors);
    write_tensors(path(), tensors, 1);
  }

 private:
  TemporaryFolder temporary_;
};

struct FolderCase {
  const char* id;
  const char* code;
  std::function<void(const Model&)> change;
};

void index_becomes(const Model& m, const std::string& text) { write_file(m.index(), text); }

const std::vector<FolderCase>& folder_cases() {
  static const std::vector<FolderCase> kCases = {
      {"I01", "IDX_MISSING", [](const Model& m) { fs::remove(m.index()); }},
      {"I02_empty_file", "JSON_SYNTAX", [](const Model& m) { index_becomes(m, ""); }},
      {"I02_empty_object", "IDX_NO_WEIGHT_MAP", [](const Model& m) { index_becomes(m, "{}"); }},
      {"I08", "IDX_EMPTY", [](const Model& m) { index_becomes(m, R"({"weight_map":{}})"); }},
      {"I03_text", "JSON_SYNTAX", [](const Model& m) { index_becomes(m, "weights"); }},
      {"I03_cut", "JSON_SYNTAX", [](const Model& m) { index_becomes(m, R"({"weight_map":{"a")"); }},
      {"I03_mark", "JSON_SYNTAX",
       [](const Model& m) { index_becomes(m, "\xEF\xBB\xBF" + read_file(m.index())); }},
      {"I09", "LIMIT_FILE_SIZE", [](const Model& m) { fs::resize_file(m.index(), 1'000'000'000); }},
      {"I04", "IDX_NOT_OBJECT", [](const Model& m) { index_becomes(m, "[]"); }},
      {"I05_list", "IDX_BAD_WEIGHT_MAP",
       [](const Model& m) { index_becomes(m, R"({"weight_map":[]})"); }},
      {"I05_null", "IDX_BAD_WEIGHT_MAP",
       [](const Model& m) { index_becomes(m, R"({"weight_map":null})"); }},
      {"I05_string", "IDX_BAD_WEIGHT_MAP",
       [](const Model& m) { index_becomes(m, R"({"weight_map":"x"})"); }},
      {"I06_number", "IDX_BAD_ENTRY",
       [](const Model& m) { index_becomes(m, R"({"weight_map":{"a":1}})"); }},
      {"I06_null", "IDX_BAD_ENTRY",
       [](const Model& m) { index_becomes(m, R"({"weight_map":{"a":null}})"); }},
      {"I06_object", "IDX_BAD_ENTRY",
       [](const Model& m) { index_becomes(m, R"({"weight_map":{"a":{}}})"); }},
      {"I07", "JSON_DUPLICATE_KEY",
       [](const Model& m) {
         index_becomes(m, R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})");
       }},
      {"I10", "PATH_ABSOLUTE", [](const Model& m) { m.rename_shard_2("/etc/passwd"); }},
      {"I11", "PATH_TRAVERSAL",
       [](const Model& m) { m.rename_shard_2("../other/model.safetensors"); }},
      {"I12", "PATH_TRAVERSAL", [](const Model& m) { m.rename_shard_2("a/../../x.safetensors"); }},
      {"I13_backslash", "PATH_BAD_CHAR",
       [](const Model& m) { m.rename_shard_2("..\\..\\x.safetensors"); }},
      {"I13_drive", "PATH_BAD_CHAR", [](const Model& m) { m.rename_shard_2("C:\\x.safetensors"); }},
      {"I14", "PATH_BAD_CHAR", [](const Model& m) { m.rename_shard_2("x\0.safetensors"s); }},
      {"I15_empty", "PATH_BAD", [](const Model& m) { m.rename_shard_2(""); }},
      {"I15_dot", "PATH_BAD", [](const Model& m) { m.rename_shard_2("."); }},
      {"I15_dots", "PATH_BAD", [](const Model& m) { m.rename_shard_2(".."); }},
      {"I15_double", "PATH_BAD", [](const Model& m) { m.rename_shard_2("a//b.safetensors"); }},
      {"I15_last", "PATH_BAD", [](const Model& m) { m.rename_shard_2("a.safetensors/"); }},
      {"I15_folder", "PATH_BAD", [](const Model& m) { m.rename_shard_2("a/b.safetensors"); }},
      {"I15_ending", "PATH_BAD", [](const Model& m) { m.rename_shard_2("pytorch_model.bin"); }},
      {"I17_300", "PATH_TOO_LONG",
       [](const Model& m) { m.rename_shard_2(std::string(300, 'x') + ".safetensors"); }},
      {"I17_5000", "PATH_TOO_LONG",
       [](const Model& m) { m.rename_shard_2(std::string(5000, 'x')); }},
      // Nothing decodes %2e: it is a name like any other.
      {"I16", "SHARD_MISSING", [](const Model& m) { m.rename_shard_2("%2e%2e%2fx.safetensors"); }},
      {"I19", "ST_HEADER_TOO_LARGE",
       [](const Model& m) {
         fs::remove(m / kShard2);
         fs::create_symlink("/etc/passwd", m / kShard2);
       }},
      {"I20", "IO_ELOOP",
       [](const Model& m) {
         fs::remove(m / kShard2);
         fs::create_symlink(kShard2, m / kShard2);
       }},
      {"I21_fifo", "SRC_NOT_REGULAR",
       [](const Model& m) {
         fs::remove(m / kShard2);
         ASSERT_EQ(::mkfifo((m / kShard2).c_str(), 0600), 0);
       }},
      {"I22_dev_zero", "SRC_NOT_REGULAR",
       [](const Model& m) {
         fs::remove(m / kShard2);
         fs::create_symlink("/dev/zero", m / kShard2);
       }},
      {"I22_folder", "SRC_NOT_REGULAR",
       [](const Model& m) {
         fs::remove(m / kShard2);
         fs::create_directory(m / kShard2);
       }},
      {"I22_proc", "ST_TOO_SHORT",
       [](const Model& m) {
         fs::remove(m / kShard2);
         fs::create_symlink("/proc/self/status", m / kShard2);
       }},
      {"I23", "SHARD_MISSING", [](const Model& m) { fs::remove(m / kShard2); }},
      {"I24", "SHARD_UNLISTED",
       [](const Model& m) { fs::copy(m / kShard2, m / "model-00005-of-00005.safetensors"); }},
      {"I33", "SHARD_UNLISTED",
       [](const Model& m) { fs::copy(m / kShard2, m / "Model-00002-of-00004.safetensors"); }},
      {"I25", "IDX_TENSOR_MISSING",
       [](const Model& m) {
         m.edit_index([](Json& root) { root["weight_map"]["extra.weight"] = kShard2; });
       }},
      {"I25_elsewhere", "IDX_TENSOR_MISSING",
       [](const Model& m) {
         m.edit_index([](Json& root) { root["weight_map"][kNorm] = kShard2; });
       }},
      {"I26", "IDX_TENSOR_EXTRA",
       [](const Model& m) { m.edit_index([](Json& root) { root["weight_map"].erase(kNorm); }); }},
      {"I27", "IDX_TENSOR_DUPLICATE",
       [](const Model& m) {
         std::vector<TensorData> tensors = tiny_tensors({});
         // Shard 4 of a model of 21 tensors holds the last 6: one of shard 1 is added.
         std::vector<TensorData> last(tensors.end() - 6, tensors.end());
         last.push_back(tensors.front());
         write_file(m.shard(4), safetensors_bytes(last));
       }},
      {"I28", "SHARD_ALIAS",
       [](const Model& m) {
         fs::remove(m / kShard2);
         fs::create_hard_link(m.shard(1), m / kShard2);
       }},
      {"I34", "CFG_TENSOR_SHAPE",
       [](const Model& m) {
         m.edit("config.json", [](Json& root) { root["intermediate_size"] = 64; });
       }},
      {"I31_index", "AMBIGUOUS_INPUT",
       [](const Model& m) { write_tensors(m.path(), tiny_tensors({}), 1); }},
      {"I31_shards", "AMBIGUOUS_INPUT",
       [](const Model& m) {
         fs::remove(m.index());
         write_tensors(m.path(), tiny_tensors({}), 1);
       }},
      {"I32_pointer", "ST_NOT_SAFETENSORS",
       [](const Model& m) {
         write_file(m.shard(3), "version https://git-lfs.github.com/spec/v1\n");
       }},
      {"I32_page", "ST_NOT_SAFETENSORS",
       [](const Model& m) { write_file(m.shard(3), "<!DOCTYPE html><html>403</html>"); }},
      {"I32_empty", "ST_TOO_SHORT", [](const Model& m) { write_file(m.shard(3), ""); }},
      {"I32_zeros", "ST_JSON_SYNTAX",
       [](const Model& m) { write_file(m.shard(3), std::string(4096, '\0')); }},
      {"I32_incomplete", "SHARD_MISSING",
       [](const Model& m) { fs::rename(m.shard(3), m.shard(3) + ".incomplete"); }},
      {"C01_missing", "CFG_MISSING", [](const Model& m) { fs::remove(m / "config.json"); }},
      {"C09", "CFG_TENSOR_SHAPE",
       [](const Model& m) { m.edit("config.json", [](Json& root) { root["vocab_size"] = 65; }); }},
      {"C17_both", "CFG_TIE",
       [](const Model& m) {
         m.edit("config.json", [](Json& root) { root["tie_word_embeddings"] = true; });
       }},
      {"C17_neither", "CFG_TIE",
       [](const Model& m) {
         m.rewrite_one_file([](std::vector<TensorData>& tensors) { tensors.pop_back(); });
       }},
      {"integers", "CFG_TENSOR_DTYPE",
       [](const Model& m) {
         m.rewrite_one_file([](std::vector<TensorData>& tensors) {
           TensorData& norm = tensors[tensors.size() - 2];
           ASSERT_EQ(norm.spec.name, kNorm);
           norm.spec.dtype = Dtype::kI32;
         });
       }},
  };
  return kCases;
}

class FolderCases : public ::testing::TestWithParam<FolderCase> {};

TEST_P(FolderCases, AreRefusedWithTheirCode) {
  const Model model;
  GetParam().change(model);
  ::alarm(20);  // opening a FIFO the wrong way waits for ever
  expect_error(GetParam().code, [&] { model.open(); });
  ::alarm(0);
}

INSTANTIATE_TEST_SUITE_P(All, FolderCases, ::testing::ValuesIn(folder_cases()),
                         [](const auto& test) { return test.param.id; });

TEST(ModelFolder, EveryMissingShardIsListed) {
  const Model model;
  fs::remove(model.shard(1));
  fs::remove(model.shard(3));
  const ErrorInfo error = expect_error("SHARD_MISSING", [&] { model.open(); });
  EXPECT_EQ(error.message, model.index() +
                               ": 2 of 4 shards are missing: model-00001-of-00004.safetensors, "
                               "model-00003-of-00004.safetensors");
}

TEST(ModelFolder, EveryProblemIsInOneError) {
  const Model model;
  model.rewrite_one_file([](std::vector<TensorData>& tensors) {
    std::erase_if(tensors, [](const TensorData& t) {
      return t.spec.name == "model.layers.1.self_attn.v_proj.weight";
    });
    tensors.push_back({{"model.layers.0.self_attn.w_proj.weight", Dtype::kF32, {1}}, "1234"});
    for (TensorData& t : tensors) {
      if (t.spec.name == "model.layers.0.mlp.up_proj.weight") t.spec.shape = {32, 48};
    }
  });
  const std::string file = model / "model.safetensors";
  const ErrorInfo error = expect_error("CFG_TENSOR_SHAPE", [&] { model.open(); });
  EXPECT_EQ(
      error.message,
      model.path() + ": 3 problems:" + "\n  [CFG_TENSOR_SHAPE] " + file +
          ": tensor \"model.layers.0.mlp.up_proj.weight\": " +
          "config.json asks for shape [48, 32] (intermediate_size, hidden_size), found [32, 48] "
          "(config.json and the weights belong to different models, or one is wrong)" +
          "\n  [CFG_TENSOR_MISSING] " + file +
          ": tensor \"model.layers.1.self_attn.v_proj.weight\": must be there (shape [32, 32]), "
          "but is missing (the download may be incomplete; fetch the folder again)" +
          "\n  [CFG_TENSOR_UNEXPECTED] " + file +
          ": tensor \"model.layers.0.self_attn.w_proj.weight\": is no tensor of "
          "LlamaForCausalLM (check model_type in config.json, or remove the tensor)");
}

// Good folders that a careless check would refuse.

TEST(GoodFolder, ShardsMayBeLinksIntoABlobStore) {
  const Model model;  // as the Hugging Face cache lays models out
  fs::create_directory(model.outside("blobs"));
  for (int i = 1; i <= 4; ++i) {
    const std::string blob = "blobs/" + std::to_string(i);
    fs::rename(model.shard(i), model.outside(blob));
    fs::create_symlink("../" + blob, model.shard(i));
  }
  EXPECT_EQ(model.open().tensors().size(), 21U);
}

TEST(GoodFolder, RotaryBuffersAreIgnoredAndNamed) {
  const Model model;
  model.rewrite_one_file([](std::vector<TensorData>& tensors) {
    for (const char* layer : {"0", "1"}) {
      tensors.push_back(
          {{"model.layers."s + layer + ".self_attn.rotary_emb.inv_freq", Dtype::kF32, {4}},
           std::string(16, '\0')});
    }
  });
  const ModelFolder folder = model.open();
  EXPECT_EQ(
      folder.notices(),
      std::vector<std::string>{
          model.path() + ": 2 buffers of RoPE or masks ignored; they follow from config.json"});
  EXPECT_FALSE(folder.has_index());
}

TEST(GoodFolder, ATiedModelNeedsNoHead) {
  const Model model;
  model.edit("config.json", [](Json& root) { root["tie_word_embeddings"] = true; });
  model.rewrite_one_file([](std::vector<TensorData>& tensors) { tensors.pop_back(); });
  EXPECT_EQ(model.open().tensors().size(), 20U);
}

TEST(GoodFolder, AWrongTotalSizeIsANotice) {
  const Model model;
  // 64 * 32 * 2 for the embedding and the head, 32 for the last norm, and per layer 2 * 32 for the
  // norms, 4 * 32 * 32 for attention, 3 * 48 * 32 for the MLP: 4096 + 32 + 2 * 8768 = 21664 values.
  EXPECT_EQ(model.open().weight_bytes(), 21'664 * 4);
  EXPECT_TRUE(model.open().notices().empty());
  for (const char* size :
       {"12", "\"86656\"", "-1", "1e30", "1.5", "null", "18446744073709551615"}) {
    SCOPED_TRACE(size);
    model.edit_index([&](Json& root) { root["metadata"]["total_size"] = Json::parse(size); });
    const std::vector<std::string> notices = model.open().notices();
    ASSERT_EQ(notices.size(), 1U);
    EXPECT_TRUE(contains(notices[0], "metadata.total_size"));
  }
}

TEST(GoodFolder, OtherThingsWorthTelling) {
  const Model model;
  write_file(model / "pytorch_model.bin.index.json", "{}");
  model.edit("config.json", [](Json& root) {
    root["auto_map"] = {{"AutoModel", "evil.Model"}};
    root["torch_dtype"] = "bfloat16";
  });
  const std::vector<std::string> expected = {
      model.path() + "/config.json: \"auto_map\" ignored; custom code is never run",
      model.path() + ": pytorch_model.bin.index.json ignored, the safetensors files count",
      model.path() +
          "/config.json: no tensor is bfloat16, as its dtype says; the tensors' own dtypes count",
  };
  const ModelFolder folder = model.open();
  EXPECT_EQ(folder.notices(), expected);
  ASSERT_EQ(folder.warnings().size(), 1U);
  EXPECT_TRUE(
      contains(folder.warnings()[0], "auto_map names code that is not in the folder (evil.py)"));
}

TEST(GoodFolder, OtherFilesAreNobodysBusiness) {
  const Model model;
  write_file(model / "consolidated.safetensors", "x");
  write_file(model / "adapter_model.safetensors", "x");
  write_file(model / "training_args.bin", "x");
  EXPECT_TRUE(model.open().notices().empty());
}

TEST(GoodFolder, TensorsAreReadFromTheirShard) {
  const Model model;
  const ModelFolder folder = model.open();
  EXPECT_EQ(folder.shard_names().size(), 4U);
  EXPECT_TRUE(folder.has_index());
  for (const TensorData& tensor : tiny_tensors({})) {
    std::string bytes(tensor.bytes.size(), '?');
    folder.read(tensor.spec.name, 0, std::as_writable_bytes(std::span(bytes)));
    EXPECT_EQ(bytes, tensor.bytes) << tensor.spec.name;
  }
  std::string part(8, '?');
  folder.read(kNorm, 4, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, encode_values(Dtype::kF32, tiny_values({}, kNorm, {32})).substr(4, 8));
}

TEST(GoodFolder, AChangedConfigIsNoticed) {
  const Model model;
  const ModelFolder folder = model.open();
  write_file(model / "config.json", read_file(model / "config.json"));  // the same text
  EXPECT_NO_THROW(folder.require_unchanged());
  write_file(model / "config.json", read_file(model / "config.json") + "\n");
  const ErrorInfo error = expect_error("SRC_CHANGED", [&] { folder.require_unchanged(); });
  EXPECT_TRUE(error.message.starts_with(model / "config.json")) << error.message;
  fs::remove(model / "config.json");
  expect_error("SRC_CHANGED", [&] { folder.require_unchanged(); });
}

TEST(GoodFolder, AChangedShardIsNoticed) {
  const Model model;
  const ModelFolder folder = model.open();
  EXPECT_NO_THROW(folder.require_unchanged());
  const std::string bytes = read_file(model.shard(2));
  fs::rename(model.shard(2), model.outside("old"));
  write_file(model.shard(2), bytes);  // the same bytes, another file
  expect_error("SRC_CHANGED", [&] { folder.require_unchanged(); });
}

}  // namespace
}  // namespace regroup::testing
