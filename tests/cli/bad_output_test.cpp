// Outputs that would destroy something, or that cannot be written: refused before any work, and nothing
// is touched.
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

const Words kOverwrite = with(kConvert, {"--overwrite"});

void write_tokens(const Workplace& w) {
  TokenFileWriter writer(w.folder / "a.bin", 64);
  writer.add(std::vector<int32_t>(200, 1));
  writer.finish();
}

/// OUT with a file in it.
std::function<void(const Workplace&)> out_with(const char* name, const char* bytes) {
  return [=](const Workplace& w) {
    fs::create_directory(w.out);
    write_file(w.out + "/" + name, bytes);
  };
}

TEST(Overwrite, ReplacesOnlyWhatConvertMade) {
  const Words foreign = {"OUT", "replaces only a model folder that regroup made", "choose another"};
  check_all({
      {"documents", out_with("thesis.md", "precious"), kOverwrite, 2, "OUTPUT_FOREIGN",
       with(foreign, {"found a folder without its regroup.json (it holds thesis.md)"})},
      {"in a dry run", out_with("thesis.md", "precious"), with(kOverwrite, {"--dry-run"}), 2,
       "OUTPUT_FOREIGN", foreign},
      {"another program's regroup.json", out_with("regroup.json", "{\"groups\": []}"), kOverwrite,
       2, "OUTPUT_FOREIGN", foreign},
      {"a file",
       [](const auto& w) { w.folder.write("out", "precious"); },
       kOverwrite,
       2,
       "OUTPUT_FOREIGN",
       {"OUT", "found something that is no folder"}},
      {"a model that regroup did not make",
       [](const auto& w) { fs::copy(w.model, w.out); },
       kOverwrite,
       2,
       "OUTPUT_FOREIGN",
       {"config.json, model.safetensors"}},
  });
  const Workplace w;
  const Words convert = {"convert", w.model, w.out, "--kv-heads", "2", "--quiet", "--overwrite"};
  for (const char* why : {"absent", "its own"}) {
    const Finished run = regroup(convert);
    EXPECT_EQ(run.exit_code, 0) << why << ": " << run.err;
  }
  fs::remove_all(w.out);
  fs::create_directory(w.out);
  EXPECT_EQ(regroup(convert).exit_code, 0) << "an empty folder";
}

// What stands in OUT.partial is nobody's business either, unless a run of ours left it there.
TEST(Overwrite, LeavesAForeignPartialAlone) {
  const Workplace w;
  fs::create_directory(w.out + ".partial");
  w.folder.write("out.partial/thesis.md", "precious");
  const Json error =
      mistake(w, {"convert", w.model, w.out, "--kv-heads", "2", "--overwrite", "--quiet"}, 2,
              "PARTIAL_EXISTS");
  EXPECT_TRUE(contains(text(error, "message"), "thesis.md"));
}

// A folder with a recipe.toml is a run only if one was ever there.
TEST(Overwrite, OfUptrainTakesARecipeForNoRun) {
  const auto recipes = [](const Workplace& w) {
    write_tokens(w);
    out_with("recipe.toml", "[convert]\n")(w);
    fs::create_directory(w.out + "/data");
    write_file(w.out + "/data/precious.txt", "Once.");
  };
  const Words uptrain = {"uptrain", "MODEL",     "OUT", "--data",   "@a.bin", "--steps",
                         "1",       "--seq-len", "16",  "--device", "cpu"};
  const Words foreign = {"OUT", "holds no run of regroup uptrain"};
  check_all(
      {{"plain", recipes, uptrain, 2, "OUTPUT_EXISTS", foreign},
       {"with --overwrite", recipes, with(uptrain, {"--overwrite"}), 2, "OUTPUT_EXISTS", foreign}});
}

/// A model of 512 ids with its tokenizer, a text, its link, a folder and tokens.
void prepare(const Workplace& w) {
  write_tiny_model(
      w.model, {.n_layers = 1, .n_heads = 8, .n_kv_heads = 4, .head_dim = 4, .vocab_size = 512});
  fs::copy_file(kTokenizer, w.model + "/tokenizer.model");
  w.folder.write("a.txt", "Once upon a time there was a dog. It ran and ran.");
  fs::create_symlink("a.txt", w.folder / "link");
  fs::create_hard_link(w.folder / "a.txt", w.folder / "hard");
  w.folder.write("r.json", "{\"options\": [], \"model\": {}}");
  fs::create_directory(w.folder / "docs");
  write_tokens(w);
}

class Output : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  }
};

Words tokenize(const std::string& out) { return {"tokenize", "MODEL", "@a.txt", "--out", out}; }
Words eval(const Words& more) {
  return with({"eval", "MODEL", "--tokens", "@a.bin", "--device", "cpu"}, more);
}
Words report(const std::string& out) { return {"report", "@r.json", "--out", out}; }
Words compare(const std::string& out) {
  return {"compare", "MODEL", "--kv-heads", "2", "--text", "@a.txt", "--out", out};
}

TEST_F(Output, IsNeverAnInput) {
  const auto row = [](const char* why, const Words& command, const char* place) {
    return BadInput{why, prepare, command, 2, "OUTPUT_IS_INPUT", {place, "choose another name"}};
  };
  const auto calibrated = [](const char* statistics) {
    return with(kConvert, {"--calibration", "@a.bin", "--save-statistics", statistics});
  };
  check_all({
      row("tokenize", tokenize("@a.txt"), "@a.txt"),
      row("tokenize, by a link", tokenize("@link"), "@link"),
      row("tokenize, by a hard link", tokenize("@hard"), "@hard"),
      row("tokenize, the config", tokenize("@model/config.json"), "@model/config.json"),
      row("tokenize, the config by its sidecar", tokenize("@model/config"), "@model/config.json"),
      row("eval, tokens", eval({"--out", "@a.bin"}), "@a.bin"),
      row("eval, weights", eval({"--token-nll", "@model/model.safetensors"}),
          "@model/model.safetensors"),
      row("report", {"report", "@r.json", "--out", "@./r.json"}, "@./r.json"),
      row("compare", compare("@a.txt"), "@a.txt"),
      row("convert", calibrated("@a.bin"), "@a.bin"),
  });
}

TEST_F(Output, IsCheckedBeforeTheWork) {
  const Words parent = {"the parent folder", "must exist", "create the parent folder first"};
  const Words folder = {"must name a file, found a folder", "name a file in that folder"};
  const Words nll = {"--token-nll", "@docs"};
  check_all({
      {"eval", prepare, eval({"--out", "@no/e.json"}), 2, "OUTPUT_PARENT", parent},
      {"eval", prepare, eval({"--out", "@docs"}), 2, "OUTPUT_NOT_FILE", folder},
      {"eval", prepare, eval({"--out", "@e/"}), 2, "OUTPUT_NOT_FILE", folder},
      {"a device", prepare, eval({"--out", "/dev/null"}), 2, "OUTPUT_NOT_FILE", {"found a device"}},
      {"tokens", prepare, eval({"--token-nll", "@no/n"}), 2, "OUTPUT_PARENT", parent},
      {"tokens", prepare, eval(nll), 2, "OUTPUT_NOT_FILE", folder},
      {"one for two",
       prepare,
       eval({"--out", "@e", "--token-nll", "@e"}),
       2,
       "FLAG_VALUE",
       {"--out and --token-nll must name two files"}},
      {"tokenize", prepare, tokenize("@docs"), 2, "OUTPUT_NOT_FILE", folder},
      {"tokenize", prepare, tokenize("@no/t.bin"), 2, "OUTPUT_PARENT", parent},
      {"report", prepare, report("@no/r.html"), 2, "OUTPUT_PARENT", parent},
      {"report", prepare, report("@docs"), 2, "OUTPUT_NOT_FILE", folder},
      {"compare", prepare, compare("@docs"), 2, "OUTPUT_NOT_FILE", folder},
      {"statistics in OUT",
       prepare,
       with(kConvert, {"--calibration", "@a.bin", "--save-statistics", "@out/s"}),
       2,
       "OUTPUT_PLACE",
       {"@out/s"}},
      {"statistics as OUT",
       prepare,
       with(kConvert, {"--calibration", "@a.bin", "--save-statistics", "OUT"}),
       2,
       "OUTPUT_PLACE",
       {"--save-statistics must lie outside OUT"}},
  });
}

TEST(DryRun, RefusesWhatTheRealRunRefuses) {
  const auto dry = [](const char* out) {
    return Words{"convert", "MODEL", out, "--kv-heads", "2", "--dry-run"};
  };
  check_all({
      {"no parent", {}, dry("@no/out"), 2, "OUTPUT_PARENT", {"@no/out", "must exist"}},
      {"OUT exists", out_with("a", "b"), dry("OUT"), 2, "OUTPUT_EXISTS", {"OUT", "must not exist"}},
      {"OUT is MODEL", {}, dry("MODEL"), 2, "OUTPUT_IS_INPUT", {"must lie outside"}},
      {"no device",
       {},
       with(dry("OUT"), {"--device", "gpu"}),
       2,
       "DEVICE",
       {"--device must be auto, cpu, cuda or cuda:N, found gpu"}},
  });
}

// A wrong setting must not leave an OUT.partial that refuses the right one.
TEST(WrongSettings, LeaveNothingBehind) {
  const auto tokens = [](const Workplace& w) { write_tokens(w); };
  const Words text = {"--calibration", "@a.bin", "--calibration-seq-len", "16"};
  for (const Words& method : {Words{}, Words{"--method", "mean"}, text}) {
    check_all({{"dtype",
                tokens,
                with(with(kConvert, method), {"--dtype", "fp32"}),
                2,
                "FLAG_VALUE",
                {"--dtype must be keep, bf16, f16 or f32, found fp32", "write f32"}}});
  }
}

}  // namespace
}  // namespace regroup::testing
