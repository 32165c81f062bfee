// Every method through the program, without text and with it: transformers computes what it writes as
// we do, only attention weights differ from the parent, and an interruption changes nothing.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "cli/cli_tools.h"
#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/convert/calibrated.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

constexpr int64_t kVocab = 64;
const TinyModelSpec kParent = {
    .n_heads = 6, .n_kv_heads = 6, .head_dim = 10, .hidden_size = 36, .attention_bias = true};

/// A folder of each parent, and its spec: half of a head turned by position with LayerNorm, and biases on q,
/// k and v alone.
const std::pair<const char*, TinyModelSpec> kParents[] = {
    {"llama", kParent},
    {"stablelm",
     {.model_type = "stablelm",
      .n_heads = 6,
      .n_kv_heads = 6,
      .head_dim = 12,
      .hidden_size = 72,
      .attention_bias = true}},
    {"qwen2",
     {.model_type = "qwen2", .n_heads = 6, .n_kv_heads = 6, .head_dim = 10, .hidden_size = 36}}};

void write_tokens(const TemporaryFolder& folder) {
  const at::Tensor ids = random_ids(1, 2048, kVocab, 11);
  const int64_t* p = ids.data_ptr<int64_t>();
  TokenFileWriter writer(folder / "text.bin", kVocab);
  writer.add(std::vector<int32_t>(p, p + 2048));
  writer.finish();
}

/// The parent is in `in` of `folder`, the result in `out`.
Words command(const TemporaryFolder& folder, const std::string& in, const std::string& out,
              const std::string& method, bool text, const std::string& steps) {
  const Words words = {"convert", folder / in, folder / out, "--kv-heads", "2", "--method",
                       method,    "--device",  "cpu",        "--threads",  "1", "--quiet"};
  if (!text) return words;
  return with(words, {"--calibration", folder / "text.bin", "--calibration-seq-len", "32",
                      "--layer-steps", steps, "--layer-batch", "2"});
}

/// What was made of which parent.
struct Made {
  std::string parent;
  std::string method;
  bool text;
  std::string name() const { return parent + "-" + method + (text ? "-text" : ""); }
};

/// Parents and what every method makes of them: "llama-mean", "llama-mean-text", ... `random` takes no
/// text.
class EveryMethod : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    write_tokens(*folder_);
    for (const auto& [parent, spec] : kParents) {
      write_tiny_model(*folder_ / parent, spec);
      for (const std::string& method : method_names()) {
        for (const bool text : {false, true}) {
          if (text && method == "random") continue;
          const Made made{parent, method, text};
          const Finished run = regroup(command(*folder_, parent, made.name(), method, text, "3"));
          ASSERT_EQ(run.exit_code, 0) << made.name() << ": " << run.err;
          ASSERT_EQ(run.out.find("calibrated on 2048 tokens, ") != std::string::npos, text)
              << run.out;
          made_.push_back(made);
        }
      }
    }
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static std::unique_ptr<TemporaryFolder> folder_;
  static std::vector<Made> made_;
};
std::unique_ptr<TemporaryFolder> EveryMethod::folder_;
std::vector<Made> EveryMethod::made_;

std::string bytes_of(const ModelFolder& model, const std::string& name) {
  std::string bytes(static_cast<size_t>(model.locate(name).info->bytes()), '\0');
  model.read(name, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

TEST_F(EveryMethod, IsComputedAlikeByTransformers) {
  REGROUP_REQUIRE_ORACLE();
  ASSERT_EQ(made_.size(), 3 * (2 * method_names().size() - 1));
  const at::Tensor ids = random_ids(1, 23, kVocab, 3);
  const std::vector<int64_t> plain(ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + 23);
  Json request = Json::array();
  for (const Made& made : made_) {
    request.push_back(
        {{"folder", *folder_ / made.name()}, {"ids", Json::array({plain})}, {"dtype", "float32"}});
  }
  ASSERT_FALSE(ask_oracle("logits.py", *folder_, request).is_null());
  const SafetensorsFile theirs(InputFile(*folder_ / "logits.safetensors"));
  std::vector<at::Tensor> ours;
  double worst = 0;
  for (size_t i = 0; i < made_.size(); ++i) {
    SCOPED_TRACE(made_[i].name());
    const Decoder decoder = load_folder(*folder_ / made_[i].name());
    EXPECT_EQ(decoder.config().n_kv_heads, 2);
    EXPECT_EQ(decoder.config().n_heads, 6);
    ours.push_back(all_logits(decoder, ids));
    const at::Tensor expected = at::empty(ours[i].sizes(), at::kFloat);
    theirs.read(*theirs.find(std::to_string(i)), 0,
                {static_cast<std::byte*>(expected.data_ptr()), expected.nbytes()});
    const double error = relative_error(ours[i], expected);
    EXPECT_LE(error, 1e-4);
    worst = std::max(worst, error);
    // Each conversion is another model: no folder was compared with itself by mistake.
    for (size_t j = 0; j < i; ++j) {
      EXPECT_GT(relative_error(ours[i], ours[j]), 1e-4) << made_[j].name();
    }
  }
  std::printf("largest relative error over %zu conversions: %.3g\n", made_.size(), worst);
}

TEST_F(EveryMethod, LeavesAllButAttentionUntouched) {
  for (const Made& made : made_) {
    SCOPED_TRACE(made.name());
    const ModelFolder parent = ModelFolder::open(*folder_ / made.parent);
    const ModelFolder out = ModelFolder::open(*folder_ / made.name());
    ASSERT_EQ(out.tensors().size(), parent.tensors().size());
    for (const ExpectedTensor& tensor : parent.tensors()) {
      const bool projects = tensor.name.find("_proj.") != std::string::npos &&
                            tensor.name.find("self_attn") != std::string::npos;
      const bool o_bias = tensor.name.ends_with("o_proj.bias");
      const bool kv = tensor.is_kv();
      // Without text mean, first and random leave queries and outputs alone.
      const bool plain = made.method == "mean" || made.method == "first" || made.method == "random";
      const bool kv_only = plain && !made.text;
      if (!projects || o_bias || (kv_only && !kv)) {
        EXPECT_TRUE(bytes_of(out, tensor.name) == bytes_of(parent, tensor.name)) << tensor.name;
      } else if (kv) {
        EXPECT_LT(bytes_of(out, tensor.name).size(), bytes_of(parent, tensor.name).size());
      }
    }
  }
}

TEST_F(EveryMethod, TheManifestSaysWhichGainsPcaHas) {
  const auto manifest = [](const std::string& name) {
    return Json::parse(InputFile(*folder_ / name + "/regroup.json").read_all());
  };
  const Words words = with(command(*folder_, "llama", "gains", "pca", false, "0"),
                           {"--logit-gain", "off", "--output-gain", "on"});
  const Finished run = regroup(words);
  ASSERT_EQ(run.exit_code, 0);
  EXPECT_NE(run.out.find("logit gain off, output gain on\n"), std::string::npos) << run.out;
  const Json given = manifest("gains");
  EXPECT_EQ(given.at("method").at("gains"), Json({{"logit", false}, {"output", true}}));
  EXPECT_EQ(given.at("arguments").at("logit_gain"), "off");
  EXPECT_EQ(given.at("arguments").at("output_gain"), "on");
  EXPECT_EQ(manifest("llama-pca").at("method").at("gains"),
            Json({{"logit", true}, {"output", true}}));
  EXPECT_EQ(manifest("llama-pca").at("arguments").at("logit_gain"), "auto");
  EXPECT_FALSE(manifest("llama-prune").at("method").contains("gains"));
}

TEST_F(EveryMethod, PcaWithoutTextSaysWhatItWasMeasuredOn) {
  const Finished run = regroup(command(*folder_, "llama", "without", "pca", false, "0"));
  ASSERT_EQ(run.exit_code, 0);
  EXPECT_TRUE(contains(run.out, "moments of 2048 tokens drawn from the vocabulary")) << run.out;
  const auto arguments = [](const std::string& name) {
    return Json::parse(InputFile(*folder_ / name + "/regroup.json").read_all()).at("arguments");
  };
  EXPECT_EQ(arguments("without").at("vocabulary_tokens"), 2048);
  EXPECT_FALSE(arguments("llama-align").contains("vocabulary_tokens"));
  const Finished same =
      regroup({"convert", *folder_ / "llama", *folder_ / "same", "--kv-heads", "6"});
  ASSERT_EQ(same.exit_code, 0);
  EXPECT_FALSE(arguments("same").contains("vocabulary_tokens"));  // nothing was to be decided
}

// The program is killed once the first layer is on disk; the same command goes on from there. In
// bfloat16, so that what is on disk is not what was computed.
TEST(KilledConversion, WhileItCalibratesGivesTheSameBytes) {
  const TemporaryFolder folder;
  write_tokens(folder);
  TinyModelSpec narrow = kParent;
  narrow.dtype = Dtype::kBF16;
  write_tiny_model(folder / "in", narrow);
  for (const std::string method : {"pca", "align-norm", "prune"}) {
    SCOPED_TRACE(method);
    ASSERT_EQ(regroup(command(folder, "in", method + "-whole", method, true, "40")).exit_code, 0);
    const Words words = command(folder, "in", method + "-killed", method, true, "40");
    const std::string out = folder / (method + "-killed");
    const std::string layer = calibrated_layer_path(out + ".partial/calibration", 0);
    const pid_t child = start_process(REGROUP_BINARY, words, folder / "o", folder / "e");
    ASSERT_GT(child, 0);
    int status = 0;
    bool runs = true;
    while (runs && !path_exists(layer)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      runs = ::waitpid(child, &status, WNOHANG) == 0;
    }
    ASSERT_TRUE(runs) << "it ended before it could be killed: " << read_file(folder / "e");
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_FALSE(path_exists(out));
    ASSERT_TRUE(path_exists(layer));
    const Finished run = regroup(words);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    for (const char* file : {"model.safetensors", "config.json", "regroup.json"}) {
      EXPECT_TRUE(read_file(out + "/" + file) ==
                  read_file(folder / (method + "-whole") + "/" + file))
          << file;
    }
    EXPECT_FALSE(path_exists(out + ".partial"));
  }
}

}  // namespace
}  // namespace regroup::testing
