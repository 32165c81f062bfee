// What a model folder holds besides the model: said in one sentence, kept where it goes along, and a context that
// rope scaling lengthens.
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

void write_tokens(const Workplace& w) {
  TokenFileWriter writer(w.folder / "text.bin", 64);
  std::vector<int32_t> ids(200);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(7 * i % 64);
  writer.add(ids);
  writer.finish();
}

Words eval_command(const Workplace& w) {
  return {"eval", w.model, "--tokens", w.folder / "text.bin", "--seq-len", "16", "--device", "cpu"};
}

TEST(StrangeModel, AnAdapterBesideItIsSaidNotToCount) {
  const Workplace w;
  write_tokens(w);
  w.folder.write("model/adapter_config.json", "{}");
  w.folder.write("model/adapter_model.safetensors", "x");
  const Finished convert = regroup({"convert", w.model, w.out, "--kv-heads", "2"});
  for (const Finished& run :
       {convert, regroup(eval_command(w)),
        regroup({"uptrain", w.model, w.folder / "run", "--data", w.folder / "text.bin", "--steps",
                 "1", "--seq-len", "8", "--batch-size", "1", "--device", "cpu"})}) {
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_TRUE(contains(run.err,
                         "the adapter beside the model (adapter_config.json) is not part of "
                         "the result"));
  }
  EXPECT_FALSE(path_exists(w.out + "/adapter_config.json"));
  EXPECT_FALSE(path_exists(w.out + "/adapter_model.safetensors"));
}

TEST(StrangeModel, WhatIsNotWeightsGoesIntoEveryFolder) {
  const Workplace w;
  write_tokens(w);
  const std::string templates = "additional_chat_templates/tool_use.jinja";
  fs::create_directory(w.model + "/additional_chat_templates");
  w.folder.write("model/" + templates, "x");
  w.folder.write("model/LICENSE", "x");
  ASSERT_EQ(regroup({"convert", w.model, w.out, "--kv-heads", "2"}).exit_code, 0);
  const std::string run = w.folder / "run";
  const Words train = {"uptrain",
                       w.out,
                       run,
                       "--data",
                       w.folder / "text.bin",
                       "--seq-len",
                       "8",
                       "--batch-size",
                       "1",
                       "--checkpoint-every",
                       "1",
                       "--device",
                       "cpu",
                       "--steps"};
  const Finished trained = regroup(with(train, {"2"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  for (const std::string& folder : {w.out, run + "/model", run + "/checkpoints/step-1"}) {
    EXPECT_TRUE(path_exists(folder + "/" + templates)) << folder;
    EXPECT_TRUE(path_exists(folder + "/LICENSE")) << folder;
  }
  for (const std::string& folder : {w.out, run + "/model"}) {
    const Finished verified = regroup({"verify", folder});
    EXPECT_EQ(verified.exit_code, 0) << verified.err;
  }
  write_file(run + "/model/" + templates, "y");
  EXPECT_EQ(regroup({"verify", run + "/model"}).exit_code, 3);
}

TEST(StrangeModel, ScaledContextsAreWithinTheLimit) {
  const Workplace w;
  const auto plan = [&](const char* rope, int64_t positions, const Words& more) {
    Json config = Json::parse(tiny_config({}));
    config["max_position_embeddings"] = positions;
    config["rope_scaling"] = Json::parse(rope);
    const Finished run =
        regroup(with({"plan", w.folder.write("c.json", config.dump()), "--json"}, more));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Json::parse(run.out);
  };
  const char* linear = R"({"type": "linear", "factor": 4.0})";
  EXPECT_EQ(plan(linear, 4096, {}).at("context"), 16384);
  EXPECT_EQ(plan(linear, 4096, {"--context", "16k"}).at("warnings"), Json::array());
  EXPECT_EQ(plan(linear, 4096, {"--context", "16385"}).at("warnings").size(), 1U);
  const char* yarn =
      R"({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768})";
  EXPECT_EQ(plan(yarn, 32768, {}).at("context"), 131072);
  EXPECT_EQ(plan(yarn, 32768, {"--context", "128k"}).at("warnings"), Json::array());
}

}  // namespace
}  // namespace regroup::testing
