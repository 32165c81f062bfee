// `verify`: which file, which tensor, and what a parent says about it.
#include "regroup/checkpoint/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
using Problems = std::vector<std::string>;

constexpr const char* kQuery = "model.layers.0.self_attn.q_proj.weight";
constexpr const char* kKeys = "model.layers.0.self_attn.k_proj.weight";
constexpr const char* kUp = "model.layers.1.mlp.up_proj.weight";

/// A manifest of the folder as it is, as a conversion writes it.
Json manifest_of(const std::string& folder) {
  Json files = Json::array();
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    files.push_back({{"path", path.filename().string()},
                     {"size", fs::file_size(path)},
                     {"sha256", sha256_of_file(path.string())}});
  }
  Json tensors = Json::array();
  const ModelFolder model = ModelFolder::open(folder);
  for (const ExpectedTensor& tensor : model.tensors()) {
    std::vector<std::byte> bytes(static_cast<size_t>(model.locate(tensor.name).info->bytes()));
    model.read(tensor.name, 0, bytes);
    Xxh3 hash;
    hash.update(bytes);
    tensors.push_back({{"name", tensor.name}, {"xxh3_128", hash.hex()}});
  }
  return {{"format", "regroup-manifest/1"},
          {"method", {{"name", "mean"}}},
          {"output", {{"files", files}, {"tensors", tensors}}}};
}

class Verify : public ::testing::Test {
 protected:
  void SetUp() override { write_tiny_model(path_, {.n_shards = 2}); }

  void write_manifest() { write_file(path_ + "/regroup.json", manifest_of(path_).dump(2)); }
  void edit_manifest(const std::function<void(Json&)>& change) {
    Json manifest = Json::parse(read_file(path_ + "/regroup.json"));
    change(manifest);
    write_file(path_ + "/regroup.json", manifest.dump(2));
  }
  /// Flips one bit of the first byte of `tensor`; returns the name of its shard.
  static std::string flip(const std::string& folder, const std::string& tensor) {
    const ModelFolder model = ModelFolder::open(folder);
    const TensorLocation location = model.locate(tensor);
    const TensorFile& shard = *model.shards()[location.shard];
    std::string bytes = read_file(shard.path());
    char& byte = bytes[static_cast<size_t>(shard.table().data_begin + location.info->begin)];
    byte = static_cast<char>(byte ^ 1);
    write_file(shard.path(), bytes);
    return model.shard_names()[location.shard];
  }

  TemporaryFolder temporary_;
  std::string path_ = temporary_ / "model";
  std::string parent_ = temporary_ / "parent";
};

TEST_F(Verify, AGoodFolder) {
  write_manifest();
  const VerifyResult result = verify_folder(path_, "");
  EXPECT_EQ(result.problems, Problems{});
  EXPECT_TRUE(result.has_manifest);
  EXPECT_EQ(result.files, 4);  // config.json, the index and two shards
  EXPECT_EQ(result.tensors, 21);
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (entry.path().filename() != "regroup.json") bytes += static_cast<int64_t>(entry.file_size());
  }
  EXPECT_EQ(result.bytes, bytes);
}

TEST_F(Verify, AFolderWithoutAManifest) {
  const VerifyResult result = verify_folder(path_, "");
  EXPECT_EQ(result.problems, Problems{});
  EXPECT_FALSE(result.has_manifest);
  EXPECT_EQ(result.files, 3);
  EXPECT_EQ(result.tensors, 21);
  EXPECT_EQ(result.bytes, 21'664 * 4);  // the values of the model, see model_folder_test
}

TEST_F(Verify, AFlippedBitNamesFileAndTensor) {
  write_manifest();
  const Json manifest = Json::parse(read_file(path_ + "/regroup.json"));
  const std::string shard = flip(path_, kUp);
  const VerifyResult result = verify_folder(path_, "");
  ASSERT_EQ(result.problems.size(), 2U);
  std::string before;
  for (const Json& file : manifest["output"]["files"]) {
    if (file["path"] == shard) before = file["sha256"];
  }
  EXPECT_EQ(result.problems[0], shard + ": SHA-256 must be " + before + ", found " +
                                    sha256_of_file(path_ + "/" + shard));
  EXPECT_TRUE(result.problems[1].starts_with("tensor " + std::string(kUp) + ": XXH3-128 must be "));
}

TEST_F(Verify, OtherFilesAreCheckedToo) {
  write_file(path_ + "/tokenizer.model", "abc");
  write_file(path_ + "/LICENSE", "text");
  write_manifest();
  write_file(path_ + "/tokenizer.model", "abcd");
  fs::remove(path_ + "/LICENSE");
  EXPECT_EQ(verify_folder(path_, "").problems,
            (Problems{"LICENSE: listed in regroup.json but missing",
                      "tokenizer.model: must have 3 bytes, found 4"}));
}

TEST_F(Verify, DamageThatHidesTheModelIsAnError) {
  write_manifest();
  fs::resize_file(path_ + "/model-00001-of-00002.safetensors", 1000);
  expect_error("ST_HEADER_PAST_EOF", [&] { verify_folder(path_, ""); });
  fs::remove(path_ + "/model-00001-of-00002.safetensors");
  expect_error("SHARD_MISSING", [&] { verify_folder(path_, ""); });
}

TEST_F(Verify, AStrangeManifestIsAProblemOrAnError) {
  write_manifest();
  edit_manifest([](Json& m) { m["format"] = "regroup-manifest/9"; });
  EXPECT_EQ(verify_folder(path_, "").problems,
            Problems{"regroup.json: format must be regroup-manifest/1, found regroup-manifest/9"});
  for (const char* text :
       {"{}", "[]", "1", R"({"format":1})", R"({"format":"regroup-manifest/1","output":[]})",
        R"({"format":"regroup-manifest/1","output":{"files":[{"path":1}],"tensors":[]}})"}) {
    SCOPED_TRACE(text);
    write_file(path_ + "/regroup.json", text);
    const VerifyResult result = verify_folder(path_, "");
    ASSERT_EQ(result.problems.size(), 1U);
    EXPECT_TRUE(result.problems[0].starts_with("regroup.json: is no manifest: "));
  }
  write_file(path_ + "/regroup.json", "{");
  expect_error("JSON_SYNTAX", [&] { verify_folder(path_, ""); });
}

TEST_F(Verify, AManifestReadsNothingOutsideTheFolder) {
  write_manifest();
  edit_manifest([](Json& m) { m["output"]["files"][0]["path"] = "../parent/config.json"; });
  write_tiny_model(parent_, {});
  EXPECT_EQ(verify_folder(path_, "").problems,
            Problems{"../parent/config.json: listed in regroup.json but missing"});
}

TEST_F(Verify, AManifestOfAnotherModel) {
  write_manifest();
  edit_manifest([](Json& m) { m["output"]["tensors"][3]["name"] = "model.layers.7.extra"; });
  EXPECT_EQ(verify_folder(path_, "").problems,
            Problems{"tensor model.layers.7.extra: listed in regroup.json but missing"});
}

TEST_F(Verify, AgainstAnEqualParent) {
  write_tiny_model(parent_, {});  // one file, the same tensors
  const VerifyResult result = verify_folder(path_, parent_);
  EXPECT_EQ(result.problems, Problems{});
  EXPECT_EQ(result.equal, 21);
  EXPECT_EQ(result.changed, Problems{});
}

TEST_F(Verify, AConvertedModelDiffersInKAndVAlone) {
  write_tiny_model(parent_, {.n_kv_heads = 4});
  fs::remove_all(path_);
  write_tiny_model(path_, {.n_kv_heads = 2});
  const VerifyResult result = verify_folder(path_, parent_);
  EXPECT_EQ(result.problems, Problems{});
  EXPECT_EQ(result.equal, 21 - 4);
  EXPECT_EQ(result.changed, (Problems{"model.layers.0.self_attn.k_proj.weight",
                                      "model.layers.0.self_attn.v_proj.weight",
                                      "model.layers.1.self_attn.k_proj.weight",
                                      "model.layers.1.self_attn.v_proj.weight"}));
}

TEST_F(Verify, OtherDifferencesAreProblems) {
  write_tiny_model(parent_, {});
  flip(path_, kUp);
  flip(path_, kKeys);  // K may differ
  const VerifyResult result = verify_folder(path_, parent_);
  EXPECT_EQ(result.problems,
            Problems{"tensor " + std::string(kUp) + ": must equal the parent's, but differs"});
  EXPECT_EQ(result.changed, (Problems{kKeys, kUp}));
}

TEST_F(Verify, QueriesMayDifferWhenTheMethodSaysSo) {
  write_tiny_model(parent_, {});
  flip(path_, kQuery);
  EXPECT_EQ(verify_folder(path_, parent_).problems.size(), 1U);
  write_manifest();
  EXPECT_EQ(verify_folder(path_, parent_).problems.size(), 1U);
  edit_manifest([](Json& m) { m["method"]["changes_queries"] = true; });
  EXPECT_EQ(verify_folder(path_, parent_).problems, Problems{});
  for (const char* other : {"false", "1", "\"true\"", "null", "[]"}) {
    edit_manifest([&](Json& m) { m["method"]["changes_queries"] = Json::parse(other); });
    EXPECT_EQ(verify_folder(path_, parent_).problems.size(), 1U) << other;
  }
}

TEST_F(Verify, WhatWasDoneToATensorSaysWhetherItMayDiffer) {
  write_tiny_model(parent_, {});
  flip(path_, kQuery);
  flip(path_, kKeys);
  write_manifest();
  const auto problems = [&](const char* queries, const char* keys, bool changes_queries) {
    edit_manifest([&](Json& m) {
      m["method"]["changes_queries"] = changes_queries;
      for (Json& tensor : m["output"]["tensors"]) {
        if (tensor["name"] == kQuery) tensor["action"] = queries;
        if (tensor["name"] == kKeys) tensor["action"] = keys;
      }
    });
    return verify_folder(path_, parent_).problems.size();
  };
  EXPECT_EQ(problems("calibrated", "calibrated", false), 0U);
  EXPECT_EQ(problems("folded", "merged", true), 0U);
  EXPECT_EQ(problems("copied", "merged", true), 1U);
  EXPECT_EQ(problems("folded", "copied", true), 1U);
}

TEST_F(Verify, AParentOfAnotherDepth) {
  write_tiny_model(parent_, {.n_layers = 3});
  const VerifyResult shallow = verify_folder(path_, parent_);
  EXPECT_EQ(shallow.problems.size(), 9U);  // the tensors of the third layer
  EXPECT_EQ(shallow.problems[0],
            "tensor model.layers.2.input_layernorm.weight: is in the parent alone");
  const VerifyResult deep = verify_folder(parent_, path_);
  EXPECT_EQ(deep.problems.size(), 9U);
  EXPECT_EQ(deep.problems[0], "tensor model.layers.2.input_layernorm.weight: is not in the parent");
}

// The same shapes and even equal tensors outside K and V do not make another model the parent.
TEST_F(Verify, TheParentIsTheOneThatWasConverted) {
  write_tiny_model(parent_, {});
  const std::string weights = parent_ + "/model.safetensors";
  write_manifest();
  edit_manifest([&](Json& m) {
    m["source"]["files"] = {{{"path", "config.json"}, {"sha256", "0"}},
                            {{"path", "model.safetensors"}, {"sha256", sha256_of_file(weights)}}};
  });
  EXPECT_EQ(verify_folder(path_, parent_).problems, Problems{});
  EXPECT_FALSE(verify_folder(path_, parent_).other_parent);
  flip(parent_, kKeys);  // another model, or the same saved anew: the manifest does not tell
  const VerifyResult other = verify_folder(path_, parent_);
  EXPECT_EQ(other.problems, Problems{});
  ASSERT_EQ(other.notices.size(), 1U);
  EXPECT_TRUE(contains(other.notices[0], "model.safetensors is not the file that was converted"));
  EXPECT_TRUE(other.other_parent);
  edit_manifest([](Json& m) { m["method"]["n_kv_heads"] = {{"before", 8}, {"after", 4}}; });
  EXPECT_EQ(verify_folder(path_, parent_).problems,
            Problems{"the parent must have 8 KV heads, as regroup.json says, found 4"});
  edit_manifest([](Json& m) { m["method"]["n_kv_heads"] = {{"before", 4}, {"after", 4}}; });
  fs::remove_all(parent_);
  write_tiny_model(parent_, {.n_shards = 2});  // the same tensors, sharded anew
  const VerifyResult anew = verify_folder(path_, parent_);
  EXPECT_EQ(anew.problems, Problems{});
  EXPECT_EQ(anew.notices, Problems{});
}

// Training changes what it was told to train, and its start is known by its digest.
TEST_F(Verify, AnUptrainedModelAgainstItsStart) {
  write_tiny_model(parent_, {});
  flip(path_, kUp);
  flip(path_, kQuery);
  write_manifest();
  const auto problems = [&](const char* trained, const std::string& started_from) {
    edit_manifest([&](Json& m) {
      m["method"] = {{"name", "uptrain"},
                     {"settings", {{"train", trained}, {"model_sha256", started_from}}}};
    });
    return verify_folder(path_, parent_);
  };
  const std::string start = model_digest(ModelFolder::open(parent_));
  EXPECT_EQ(problems("all", start).problems, Problems{});
  EXPECT_EQ(problems("attention", start).problems,
            Problems{"tensor " + std::string(kUp) + ": must equal the parent's, but differs"});
  EXPECT_EQ(problems("kv", start).problems.size(), 2U);
  const VerifyResult other = problems("all", "0");
  EXPECT_EQ(other.problems, Problems{});
  ASSERT_EQ(other.notices.size(), 1U);
  EXPECT_TRUE(contains(other.notices[0], "is not the model that training started from"));
  edit_manifest([](Json& m) { m["method"]["settings"]["init_from_scratch"] = true; });
  EXPECT_EQ(verify_folder(path_, parent_).notices, Problems{});
  write_tiny_model(parent_, {.n_kv_heads = 2});  // shapes never change in training
  EXPECT_EQ(verify_folder(path_, parent_).problems.size(), 4U);
}

TEST_F(Verify, AnotherDtypeIsAChangeAndNoProblem) {
  write_tiny_model(parent_, {.dtype = Dtype::kBF16});
  const VerifyResult result = verify_folder(path_, parent_);
  EXPECT_EQ(result.problems, Problems{});
  EXPECT_EQ(result.changed.size(), 21U);
}

}  // namespace
}  // namespace regroup::testing
