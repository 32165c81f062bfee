// Models whose weights are PyTorch's own files: read on request, and converted into the same safetensors.
#include <filesystem>

#include "cli/cli_tools.h"
#include "support/torch_zip.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

const TinyModelSpec kSpec{.n_layers = 1, .n_heads = 8, .n_kv_heads = 4, .head_dim = 4};

/// The tensors [first, end) as a file of torch.save.
std::string torch_file(const std::vector<TensorData>& tensors, size_t first, size_t end) {
  std::vector<std::pair<std::string, std::string>> items;
  std::vector<std::string> storages;
  for (size_t i = first; i < end; ++i) {
    const TensorSpec& spec = tensors[i].spec;
    std::vector<int32_t> shape(spec.shape.begin(), spec.shape.end());
    std::vector<int32_t> strides(shape.size(), 1);
    for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
    const auto count = static_cast<int32_t>(tensors[i].bytes.size() / 4);
    items.emplace_back(
        spec.name,
        pickled::tensor(pickled::storage("FloatStorage", std::to_string(storages.size()), count), 0,
                        shape, strides));
    storages.push_back(tensors[i].bytes);
  }
  return torch_zip(pickled::dictionary(items), storages);
}

/// Puts pytorch_model.bin, or several and their index, in place of the safetensors.
void pickle_weights(const Workplace& w, int n_files) {
  fs::remove(w.model + "/model.safetensors");
  const std::vector<TensorData> tensors = tiny_tensors(kSpec);
  if (n_files == 1) {
    w.folder.write("model/pytorch_model.bin", torch_file(tensors, 0, tensors.size()));
    return;
  }
  Json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", Json::object()}};
  const auto n = static_cast<size_t>(n_files);
  for (size_t i = 0; i < n; ++i) {
    const std::string name = fmt::format("pytorch_model-{:05}-of-{:05}.bin", i + 1, n);
    const size_t first = tensors.size() * i / n;
    const size_t end = tensors.size() * (i + 1) / n;
    w.folder.write("model/" + name, torch_file(tensors, first, end));
    for (size_t t = first; t < end; ++t) index["weight_map"][tensors[t].spec.name] = name;
  }
  w.folder.write("model/pytorch_model.bin.index.json", index.dump());
}

const std::string kLegacy = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.";

const Words kAllowed = with(kConvert, {"--allow-pickle", "--method", "mean", "--quiet"});

Words resolved_words(const Workplace& w, const Words& command) {
  Words words;
  for (const std::string& word : command) words.push_back(resolved(w, word));
  return words;
}

TEST(PickledWeights, ConvertIntoTheSameSafetensors) {
  const Workplace plain;
  ASSERT_EQ(regroup(resolved_words(plain, with(kConvert, {"--method", "mean"}))).exit_code, 0);
  const std::string expected = read_file(plain.out + "/model.safetensors");
  const Workplace w;
  pickle_weights(w, 1);
  const Finished run = regroup(resolved_words(w, kAllowed));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(read_file(w.out + "/model.safetensors") == expected);
  EXPECT_FALSE(path_exists(w.out + "/pytorch_model.bin"));
  const Finished verified =
      regroup({"verify", w.out, "--against", w.model, "--allow-pickle", "--quiet"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
}

TEST(PickledWeights, MayLieInSeveralFiles) {
  const Workplace w;
  pickle_weights(w, 3);
  const Finished run = regroup(resolved_words(w, kAllowed));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(path_exists(w.out + "/model-00002-of-00003.safetensors"));
  EXPECT_TRUE(path_exists(w.out + "/model.safetensors.index.json"));
  EXPECT_EQ(regroup({"verify", w.out, "--quiet"}).exit_code, 0);
}

// LibTorch's half of the program is told as well.
TEST(PickledWeights, AreEvaluatedToo) {
  const Workplace w;
  pickle_weights(w, 1);
  const Finished run = regroup({"generate", w.model, "--prompt-ids", "1,2,3", "--max-new-tokens",
                                "2", "--allow-pickle", "--device", "cpu", "--quiet"});
  const Workplace plain;
  const Finished same = regroup({"generate", plain.model, "--prompt-ids", "1,2,3",
                                 "--max-new-tokens", "2", "--device", "cpu", "--quiet"});
  EXPECT_EQ(run.exit_code, same.exit_code) << run.err;
  EXPECT_EQ(run.out, same.out);
}

TEST(PickledWeights, AreRefusedWhereTheyAreNotAskedForOrWrong) {
  check_all({
      {"without the flag",
       [](const auto& w) { pickle_weights(w, 1); },
       kConvert,
       4,
       "PICKLE_REFUSED",
       {"MODEL", "found pytorch_model.bin", "--allow-pickle"}},
      {"code in place of weights",
       [](const auto& w) {
         pickle_weights(w, 1);
         w.folder.write("model/pytorch_model.bin",
                        torch_zip("\x80\x02" + pickled::global("os", "system") +
                                      pickled::tuple({pickled::text("touch out")}) + "R.",
                                  {}));
       },
       kAllowed,
       4,
       "PICKLE_GLOBAL",
       {"@model/pytorch_model.bin", "os.system", "nothing of it was run", "save the model"}},
      {"no PyTorch file",
       [](const auto& w) {
         pickle_weights(w, 1);
         w.folder.write("model/pytorch_model.bin", "PK");
       },
       kAllowed,
       3,
       "ZIP_STRUCT",
       {"@model/pytorch_model.bin", "must end in a directory", "fetch"}},
      {"a page in place of weights",
       [](const auto& w) {
         pickle_weights(w, 1);
         w.folder.write("model/pytorch_model.bin", "<!DOCTYPE html><html>403</html>");
       },
       kAllowed,
       3,
       "TORCH_NOT_WEIGHTS",
       {"@model/pytorch_model.bin", "but this is an HTML page", "fetch the file again"}},
      {"a shard that is not read hides no other",
       [](const auto& w) {
         pickle_weights(w, 3);
         w.folder.write("model/pytorch_model-00001-of-00003.bin", kLegacy);
         w.folder.write("model/pytorch_model-00002-of-00003.bin",
                        "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
         w.folder.write("model/pytorch_model-00004-of-00003.bin", kLegacy);
       },
       kAllowed,
       3,
       "SHARD_UNLISTED",
       {"3 problems", "are not in pytorch_model.bin.index.json", "[TORCH_NOT_WEIGHTS]",
        "@model/pytorch_model-00002-of-00003.bin", "a Git LFS pointer", "[PICKLE_LEGACY]",
        "@model/pytorch_model-00001-of-00003.bin"}},
      {"a shard that is not read",
       [](const auto& w) {
         pickle_weights(w, 3);
         w.folder.write("model/pytorch_model-00001-of-00003.bin", kLegacy);
       },
       kAllowed,
       4,
       "PICKLE_LEGACY",
       {"@model/pytorch_model-00001-of-00003.bin", "before PyTorch 1.6"}},
      {"no index",
       [](const auto& w) {
         pickle_weights(w, 3);
         fs::remove(w.model + "/pytorch_model.bin.index.json");
       },
       kAllowed,
       3,
       "IDX_MISSING",
       {"must hold pytorch_model.bin.index.json beside the 3 shards"}},
      {"a shard that is missing",
       [](const auto& w) {
         pickle_weights(w, 3);
         fs::remove(w.model + "/pytorch_model-00002-of-00003.bin");
       },
       kAllowed,
       3,
       "SHARD_MISSING",
       {"1 of 3 shards are missing", "00002-of-00003"}},
      {"an index that leaves the folder",
       [](const auto& w) {
         pickle_weights(w, 3);
         w.folder.write("model/pytorch_model.bin.index.json",
                        R"({"weight_map": {"a": "../pytorch_model.bin"}})");
       },
       kAllowed,
       3,
       "PATH_TRAVERSAL",
       {"does not leave the folder"}},
      {"an index of other files",
       [](const auto& w) {
         pickle_weights(w, 3);
         w.folder.write("model/pytorch_model.bin.index.json", R"({"weight_map": {"a": "a.pt"}})");
       },
       kAllowed,
       3,
       "PATH_BAD",
       {"ends in .bin"}},
      {"both one file and several",
       [](const auto& w) {
         pickle_weights(w, 3);
         w.folder.write("model/pytorch_model.bin", "x");
       },
       kAllowed,
       3,
       "AMBIGUOUS_INPUT",
       {"pytorch_model.bin and pytorch_model.bin.index.json"}},
  });
}

TEST(PickledWeights, SafetensorsCountWhereBothAreThere) {
  const Workplace w;
  w.folder.write("model/pytorch_model.bin", "x");
  const Finished run =
      regroup(resolved_words(w, with(kConvert, {"--allow-pickle", "--method", "mean"})));
  EXPECT_EQ(run.exit_code, 0) << run.err;
}

}  // namespace
}  // namespace regroup::testing
