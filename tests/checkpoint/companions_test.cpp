// What goes with the weights into every folder that is made from a model.
#include "regroup/checkpoint/companions.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "regroup/base/folder_tree.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

void put(const TemporaryFolder& folder, const std::string& name, const std::string& bytes = "x") {
  fs::create_directories(fs::path(folder / name).parent_path());
  write_file(folder / name, bytes);
}

TEST(Companions, AreAllThatIsNotWeights) {
  const TemporaryFolder f;
  const Names wanted = {"LICENSE",
                        "NOTICE.txt",
                        "README.md",
                        "USE_POLICY.md",
                        "added_tokens.json",
                        "additional_chat_templates/rag.jinja",
                        "additional_chat_templates/tool_use.jinja",
                        "chat_template.jinja",
                        "code/deep/er.py",
                        "configuration_tiny.py",
                        "generation_config.json",
                        "merges.txt",
                        "modeling_tiny.py",
                        "preprocessor_config.json",
                        "qwen.tiktoken",
                        "sentencepiece.bpe.model",
                        "special_tokens_map.json",
                        "spiece.model",
                        "tekken.json",
                        "tokenizer.bin",
                        "tokenizer.json",
                        "tokenizer.model",
                        "tokenizer_config.json",
                        "vocab.json"};
  for (const std::string& name : wanted) put(f, name);
  for (const char* name : {"config.json",
                           "model.safetensors",
                           "model-00001-of-00002.safetensors",
                           "model.safetensors.index.json",
                           "consolidated.safetensors",
                           "params.json",
                           "pytorch_model.bin",
                           "pytorch_model.bin.index.json",
                           "training_args.bin",
                           "optimizer.pt",
                           "scheduler.pt",
                           "rng_state.pth",
                           "model.gguf",
                           "tf_model.h5",
                           "flax_model.msgpack",
                           "model.onnx",
                           "adapter_config.json",
                           "adapter_model.safetensors",
                           "regroup.json",
                           ".gitattributes",
                           ".git/config",
                           ".cache/huggingface/download/tokenizer.json.lock",
                           "original/consolidated.00.pth",
                           "original/params.json",
                           "original/tokenizer.model",
                           "onnx/model.onnx",
                           "onnx/config.json",
                           "checkpoint-500/model.safetensors",
                           "checkpoint-500/tokenizer.json"}) {
    put(f, name);
  }
  const Companions found = find_companions(f.path());
  EXPECT_EQ(found.files, wanted);
  EXPECT_EQ(found.left_out, Names{});
}

TEST(Companions, OfATrainingCheckpointAreWithoutItsState) {
  const TemporaryFolder f;
  for (const char* name :
       {"state.json", "state.safetensors", "checkpoint.json", "tokenizer.model"}) {
    put(f, name);
  }
  EXPECT_EQ(find_companions(f.path()).files, Names{"tokenizer.model"});
}

TEST(Companions, FollowLinksInsideTheFolderAndTheHubsCache) {
  const TemporaryFolder f;
  put(f, "elsewhere/secret");
  put(f, "models--a--b/blobs/1");
  put(f, "models--a--b/snapshots/0/real/NOTICE");
  const std::string snapshot = f / "models--a--b/snapshots/0";
  fs::create_symlink("../../blobs/1", snapshot + "/LICENSE");
  fs::create_symlink("real/NOTICE", snapshot + "/NOTICE");
  fs::create_symlink("../../../elsewhere/secret", snapshot + "/USE_POLICY.md");
  fs::create_symlink("../../../elsewhere/secret", snapshot + "/tokenizer.model");
  fs::create_symlink("../../../elsewhere", snapshot + "/templates");
  fs::create_symlink(".", snapshot + "/loop");
  fs::create_symlink("real", snapshot + "/also");
  fs::create_symlink("nowhere", snapshot + "/dangling.txt");
  const Companions found = find_companions(snapshot);
  EXPECT_EQ(found.files,
            (Names{"LICENSE", "NOTICE", "also/NOTICE", "real/NOTICE", "tokenizer.model"}));
  std::string all;
  for (const std::string& sentence : found.left_out) all += sentence + "\n";
  EXPECT_TRUE(contains(all, "USE_POLICY.md is not copied: it is a link out of the folder"));
  EXPECT_TRUE(contains(all, "templates is not copied: it is a link out of the folder"));
  EXPECT_TRUE(contains(all, "dangling.txt is not copied: it is a link to nothing"));
}

TEST(Companions, LeaveOutWhatIsTooLargeTooDeepOrNoFile) {
  const TemporaryFolder f;
  put(f, "video.mp4", "");
  fs::resize_file(f / "video.mp4", (uintmax_t{256} << 20) + 1);
  put(f, "1/2/3/4/5/6/in.txt");
  put(f, "1/2/3/4/5/6/7/out.txt");
  put(f, "bad\nname");
  ASSERT_EQ(::mkfifo((f / "pipe").c_str(), 0600), 0);
  const Companions found = find_companions(f.path());
  EXPECT_EQ(found.files, Names{"1/2/3/4/5/6/in.txt"});
  EXPECT_EQ(found.left_out.size(), 4U);
}

TEST(Companions, AreCopiedWithTheirFolders) {
  const TemporaryFolder f;
  put(f, "in/a/b.txt", "inner");
  put(f, "in/tokenizer.model", "outer");
  fs::create_directory(f / "out");
  copy_companion_files(f / "in", f / "out");
  EXPECT_EQ(read_tree(f / "out"), read_tree(f / "in"));
  EXPECT_EQ(files_below(f / "out"), (Names{"a/b.txt", "tokenizer.model"}));
}

// What auto_map names must be there, or the copy cannot be loaded either.
TEST(Companions, CodeThatIsMissingIsNamed) {
  const TemporaryFolder f;
  const auto warning = [&](const char* config) {
    return missing_code_warning(f.path(), Json::parse(config)).value_or("");
  };
  put(f, "configuration_tiny.py");
  for (const char* whole :
       {"{}", "[]", R"({"auto_map": null})", R"({"auto_map": 3})", R"({"auto_map": {"A": "x"}})",
        R"({"auto_map": {"AutoConfig": "configuration_tiny.Tiny"}})",
        R"({"auto_map": {"AutoConfig": "user/repo--configuration_other.Other"}})",
        R"({"auto_map": {"AutoConfig": "../elsewhere.Tiny"}})"}) {
    EXPECT_EQ(warning(whole), "") << whole;
  }
  EXPECT_EQ(
      warning(
          R"({"auto_map": {"AutoConfig": "configuration_tiny.Tiny", "AutoModel": "modeling.Tiny",
                  "AutoModelForCausalLM": "modeling.TinyLM", "AutoTokenizer": ["tok.Slow", null]}})"),
      f.path() +
          "/config.json: its auto_map names code that is not in the folder (modeling.py, tok.py): "
          "transformers with trust_remote_code loads neither this model nor one made from it; "
          "fetch the files first, or take auto_map out");
}

TEST(InnerPath, StaysBelowItsFolder) {
  for (const char* good : {"a", "a/b", "a.b/c..d"}) EXPECT_TRUE(is_inner_path(good)) << good;
  for (const char* bad : {"", "/a", "../a", "a/../b", "a/..", ".", "a//b", "a/"}) {
    EXPECT_FALSE(is_inner_path(bad)) << bad;
  }
}

}  // namespace
}  // namespace regroup::testing
