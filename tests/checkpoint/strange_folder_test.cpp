// What people pass as MODEL that is no Hugging Face folder: the error says what it is and what to do.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "regroup/checkpoint/model_folder.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

struct Strange {
  const char* id;
  std::vector<std::pair<std::string, std::string>> files;  ///< name in the folder -> bytes
  const char* code;
  bool unsupported;
  std::vector<std::string> words;  ///< all of them in the message or the hint
};

const std::string kConfig = tiny_config({});

const std::vector<Strange>& strange_folders() {
  static const std::vector<Strange> kCases = {
      {"empty", {}, "CFG_MISSING", false, {"found an empty folder"}},
      {"adapter",
       {{"adapter_config.json", R"({"base_model_name_or_path": "example/tiny"})"},
        {"adapter_model.safetensors", "x"}},
       "MODEL_FORMAT",
       true,
       {"an adapter alone (adapter_config.json)", "merge it into its base model (example/tiny)",
        "merge_and_unload"}},
      {"adapter_with_a_damaged_config",
       {{"adapter_config.json", "{"}},
       "MODEL_FORMAT",
       true,
       {"an adapter alone", "merge it into its base model with"}},
      {"adapter_with_the_models_config",
       {{"config.json", kConfig}, {"adapter_model.safetensors", "x"}},
       "MODEL_NO_WEIGHTS",
       false,
       {"found an adapter alone (adapter_model.safetensors)", "merge"}},
      {"meta",
       {{"params.json", "{}"}, {"consolidated.00.pth", "PK"}, {"tokenizer.model", "x"}},
       "MODEL_FORMAT",
       true,
       {"Meta's own format (consolidated.00.pth)", "convert_llama_weights_to_hf"}},
      {"mistral",
       {{"params.json", "{}"}, {"consolidated.safetensors", "x"}},
       "MODEL_FORMAT",
       true,
       {"Mistral's own format", "model*.safetensors"}},
      {"mistral_with_config",
       {{"config.json", kConfig}, {"consolidated.safetensors", "x"}},
       "MODEL_NO_WEIGHTS",
       false,
       {"found consolidated.safetensors", "Mistral's own names"}},
      {"gguf",
       {{"tiny-q4_0.gguf", "GGUF"}},
       "MODEL_FORMAT",
       true,
       {"a GGUF file (tiny-q4_0.gguf)"}},
      {"gguf_with_config",
       {{"config.json", kConfig}, {"tiny.gguf", "GGUF"}},
       "MODEL_FORMAT",
       true,
       {"must hold safetensors files, found a GGUF file (tiny.gguf)"}},
      {"onnx",
       {{"config.json", kConfig}, {"model.onnx", "x"}},
       "MODEL_FORMAT",
       true,
       {"an ONNX model"}},
      {"keras",
       {{"config.json", kConfig}, {"tf_model.h5", "x"}},
       "MODEL_FORMAT",
       true,
       {"tf_model.h5"}},
      {"flax",
       {{"config.json", kConfig}, {"flax_model.msgpack", "x"}},
       "MODEL_FORMAT",
       true,
       {"Flax weights"}},
      {"pth",
       {{"config.json", kConfig}, {"consolidated.00.pth", "PK"}},
       "PICKLE_REFUSED",
       true,
       {"found consolidated.00.pth", "can run code"}},
      {"sharded_bin",
       {{"config.json", kConfig}, {"pytorch_model-00001-of-00002.bin", "PK"}},
       "PICKLE_REFUSED",
       true,
       {"found pytorch_model-00001-of-00002.bin"}},
      {"training_arguments_are_no_weights",
       {{"config.json", kConfig}, {"training_args.bin", "PK"}},
       "MODEL_NO_WEIGHTS",
       false,
       {"found neither"}},
      {"another_name",
       {{"config.json", kConfig}, {"pytorch_model.safetensors", "x"}},
       "MODEL_NO_WEIGHTS",
       false,
       {"found pytorch_model.safetensors", "rename it to model.safetensors"}},
      {"one_shard_without_index",
       {{"config.json", kConfig}, {"model-00001-of-00002.safetensors", "x"}},
       "IDX_MISSING",
       false,
       {"beside the 1 shard found (model-00001-of-00002.safetensors)"}},
      {"unfinished_download",
       {{"config.json", kConfig}, {".cache/huggingface/download/abc.incomplete", ""}},
       "MODEL_NO_WEIGHTS",
       false,
       {"a download that did not end", "finish the download"}},
      {"another_case",
       {{"Config.json", kConfig}, {"model.safetensors", "x"}},
       "CFG_MISSING",
       false,
       {"found Config.json", "rename it to config.json"}},
      {"weights_alone",
       {{"model.safetensors", "x"}},
       "CFG_MISSING",
       false,
       {"must exist beside the safetensors files", "fetch config.json"}},
      {"training_folder",
       {{"checkpoint-500/config.json", "{}"},
        {"checkpoint-1000/config.json", "{}"},
        {"log.txt", "x"}},
       "CFG_MISSING",
       false,
       {"a folder whose sub-folders hold models", "checkpoint-1000", "checkpoint-500"}},
      {"uptrain_run",
       {{"recipe.toml", ""}, {"checkpoints/step-20/config.json", "{}"}},
       "CFG_MISSING",
       false,
       {"checkpoints/step-20"}},
      {"many_models",
       {{"a/config.json", ""}, {"b/config.json", ""}, {"c/config.json", ""}, {"d/config.json", ""}},
       "CFG_MISSING",
       false,
       {"/a, ", "/c and 1 more"}},
      {"unfinished_output",
       {{"JOB.json", "{}"}},
       "CFG_MISSING",
       false,
       {"an unfinished output of regroup", "again"}},
      {"deepspeed",
       {{"global_step10/mp_rank_00_model_states.pt", "PK"}},
       "MODEL_FORMAT",
       true,
       {"a DeepSpeed checkpoint", "zero_to_fp32.py"}},
      {"distributed",
       {{"__0_0.distcp", "x"}},
       "MODEL_FORMAT",
       true,
       {"a distributed checkpoint of PyTorch"}},
      {"diffusers", {{"model_index.json", "{}"}}, "MODEL_FORMAT", true, {"a diffusers pipeline"}},
  };
  return kCases;
}

class StrangeFolders : public ::testing::TestWithParam<Strange> {};

TEST_P(StrangeFolders, SayWhatTheyAre) {
  const Strange& c = GetParam();
  const TemporaryFolder temporary;
  const std::string folder = temporary / "it";
  fs::create_directory(folder);
  for (const auto& [name, bytes] : c.files) {
    fs::create_directories(fs::path(folder + "/" + name).parent_path());
    write_file(folder + "/" + name, bytes);
  }
  const auto open = [&] { ModelFolder::open(folder); };
  const ErrorInfo error = c.unsupported ? expect_error<UnsupportedError>(c.code, open)
                                        : expect_error<CheckpointError>(c.code, open);
  for (const std::string& word : c.words) {
    EXPECT_TRUE(contains(error.message + " (" + error.hint + ")", word));
  }
  EXPECT_NE(error.hint, "");
}

INSTANTIATE_TEST_SUITE_P(All, StrangeFolders, ::testing::ValuesIn(strange_folders()),
                         [](const auto& test) { return test.param.id; });

/// The message and hint that a path gives.
template <typename E = CheckpointError>
std::string refused(const std::string& code, const std::string& path) {
  const ErrorInfo error = expect_error<E>(code, [&] { ModelFolder::open(path); });
  return error.message + " (" + error.hint + ")";
}

TEST(HubCache, NamesTheSnapshotsThatAreThere) {
  const TemporaryFolder temporary;
  const std::string root = temporary / "hub/models--example--tiny-1";
  for (const char* commit : {"aaaa", "bbbb", "cccc"}) {
    fs::create_directories(root + "/snapshots/" + commit);
    if (commit != "cccc"s) write_file(root + "/snapshots/" + commit + "/config.json", "{}");
  }
  fs::create_directories(root + "/refs");
  write_file(root + "/refs/main", "bbbb");
  const std::string text = refused("CFG_MISSING", root);
  EXPECT_TRUE(contains(text, "found the hub's cache of example/tiny-1"));
  EXPECT_TRUE(contains(text, "pass a snapshot: " + root + "/snapshots/bbbb or " + root +
                                 "/snapshots/aaaa)"));  // main first, the unfinished one not at all
  fs::create_directory(temporary / "hub/models--no--snapshots");
  EXPECT_TRUE(contains(refused("CFG_MISSING", temporary / "hub"), root + "/snapshots/bbbb"));
  EXPECT_TRUE(contains(refused("CFG_MISSING", root + "/snapshots"), root + "/snapshots/aaaa"));
  EXPECT_TRUE(contains(refused("CFG_MISSING", root + "/"), "snapshots/bbbb"));
  fs::remove_all(root + "/snapshots");
  fs::create_directory(root + "/snapshots");
  EXPECT_TRUE(contains(refused("CFG_MISSING", root), "it holds no complete snapshot"));
}

TEST(HubCache, ANameOfTheHubIsNotDownloaded) {
  const TemporaryFolder temporary;
  ::setenv("HF_HUB_CACHE", temporary.path().c_str(), 1);
  const std::string text = refused("MODEL_MISSING", "example/tiny");
  EXPECT_TRUE(contains(text, "nothing is downloaded"));
  EXPECT_TRUE(contains(text, "hf download example/tiny --local-dir tiny"));
  const std::string snapshot = temporary / "models--example--tiny/snapshots/0123";
  fs::create_directories(snapshot);
  write_file(snapshot + "/config.json", "{}");
  EXPECT_TRUE(contains(refused("MODEL_MISSING", "example/tiny"), "pass " + snapshot));
  ::unsetenv("HF_HUB_CACHE");
}

TEST(NotAFolder, AFileSaysWhatItIs) {
  const TemporaryFolder f;
  const auto unsupported = [&](const char* code, const char* name, const std::string& bytes) {
    return refused<UnsupportedError>(code, f.write(name, bytes));
  };
  EXPECT_TRUE(contains(unsupported("MODEL_FORMAT", "a.gguf", "GGUF\3"), "found a GGUF file"));
  EXPECT_TRUE(contains(unsupported("MODEL_FORMAT", "renamed", "GGUF\3"), "found a GGUF file"));
  EXPECT_TRUE(contains(unsupported("PICKLE_REFUSED", "a.pth", "PK\3\4"), "found a ZIP archive"));
  EXPECT_TRUE(contains(unsupported("PICKLE_REFUSED", "b.pt", "\x80\2"), "found a Python pickle"));
  EXPECT_TRUE(contains(unsupported("PICKLE_REFUSED", "c.bin", "???"), "found PyTorch weights"));
  const std::string weights = safetensors_bytes(tiny_tensors({}));
  EXPECT_TRUE(contains(refused("MODEL_NOT_FOLDER", f.write("model.safetensors", weights)),
                       "found a safetensors file (pass the folder that holds the file)"));
  EXPECT_TRUE(contains(refused("MODEL_NOT_FOLDER", f.write("config.json", kConfig)),
                       "found a file (pass the folder that holds the file)"));
}

TEST(NotAFolder, APathThatIsNearlyRightNamesItsNeighbour) {
  const TemporaryFolder f;
  fs::create_directory(f / "llama-tiny");
  EXPECT_TRUE(contains(refused("MODEL_MISSING", f / "lama-tiny"),
                       "check the spelling of the path: " + f.path() + " holds llama-tiny"));
  fs::create_symlink(f / "nothing", f / "link");
  EXPECT_TRUE(contains(refused("MODEL_MISSING", f / "link"), "found a link to nothing"));
  ASSERT_EQ(::mkfifo((f / "pipe").c_str(), 0600), 0);
  ::alarm(20);
  EXPECT_TRUE(contains(refused("MODEL_NOT_FOLDER", f / "pipe"), "found a file"));
  ::alarm(0);
}

TEST(NotAFolder, PlanTakesAConfigAlone) {
  const TemporaryFolder f;
  EXPECT_EQ(config_path_of(f.path()), f.path() + "/config.json");
  const std::string config = f.write("any.json", kConfig);
  EXPECT_EQ(config_path_of(config), config);
  const std::string gguf = f.write("a.gguf", "GGUF");
  EXPECT_TRUE(contains(
      expect_error<UnsupportedError>("MODEL_FORMAT", [&] { config_path_of(gguf); }).message,
      "found a GGUF file"));
  expect_error("CFG_MISSING", [&] { config_path_of(f / "absent"); });
}

TEST(NotAFolder, PickledWeightsAreRefusedAsUnsupported) {
  const TemporaryFolder folder;
  folder.write("config.json", tiny_config({}));
  expect_error("MODEL_NO_WEIGHTS", [&] { ModelFolder::open(folder.path()); });
  folder.write("pytorch_model.bin", "\x80\x02");
  const ErrorInfo error =
      expect_error<UnsupportedError>("PICKLE_REFUSED", [&] { ModelFolder::open(folder.path()); });
  EXPECT_EQ(error.message,
            folder.path() + ": must hold safetensors files, found pytorch_model.bin");
}

TEST(NotAFolder, IsRefused) {
  const TemporaryFolder folder;
  expect_error("MODEL_MISSING", [&] { ModelFolder::open(folder / "absent"); });
  expect_error("MODEL_NOT_FOLDER", [&] { ModelFolder::open(folder.write("file", "x")); });
}

}  // namespace
}  // namespace regroup::testing
