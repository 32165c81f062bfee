// What each family is promised to do, proven through the program and against transformers: support/family_cases.h.
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "cli/cli_tools.h"
#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/base/input_file.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/convert/method.h"
#include "regroup/model/generate.h"
#include "regroup/text/token_file.h"
#include "support/family_cases.h"

namespace regroup::testing {
namespace {

constexpr int64_t kSeq = 23;
constexpr double kExact = 1e-5;
constexpr double kBf16 = 0.05;  // 8 bits, and the order of roundings differs
constexpr double kLossless = 2e-5;

bool is_clipped(const FamilyCase& family) { return family.spec.extra_config.contains("clip_qkv"); }

bool turns(const std::string& method) { return method == "align" || method == "align-norm"; }

bool is_normed(const FamilyCase& family) {
  return parse_model_config(tiny_config(family.spec), "config.json").attention.normalises_keys();
}

/// Methods that turn keys, which QK-norm does not let them, or mix channels that are clipped.
bool is_refused(const FamilyCase& family, const std::string& method) {
  return (is_normed(family) && turns(method)) ||
         (is_clipped(family) && (turns(method) || method == "pca"));
}

/// Of half of the positions: a rounding may give a token another expert.
double typical_error(const at::Tensor& ours, const at::Tensor& theirs) {
  std::vector<double> errors;
  for (int64_t at = 0; at < ours.size(1); ++at) {
    errors.push_back(relative_error(ours.select(1, at), theirs.select(1, at)));
  }
  std::nth_element(errors.begin(), errors.begin() + errors.size() / 2, errors.end());
  return errors[errors.size() / 2];
}

Words convert_words(const std::string& in, const std::string& out, const std::string& method,
                    const char* kv_heads) {
  return {"convert", in,         out,   "--kv-heads", kv_heads, "--method",
          method,    "--device", "cpu", "--threads",  "1",      "--quiet"};
}

std::vector<int64_t> row_of(const at::Tensor& ids) {
  return {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()};
}

/// Folders whose logits are compared with those of transformers, all in one go: it takes seconds to start.
class Comparison {
 public:
  explicit Comparison(const TemporaryFolder& folder) : folder_(folder) {}
  void add(const std::string& folder, const char* dtype, double tolerance) {
    folders_.push_back(folder);
    dtypes_.emplace_back(dtype);
    tolerances_.push_back(tolerance);
  }
  /// transformers loads each without a missing or unexpected tensor, and computes what we do.
  void expect_equal() {
    const at::Tensor ids = random_ids(1, kSeq, 64, 3);
    Json request = Json::array();
    for (size_t i = 0; i < folders_.size(); ++i) {
      request.push_back(
          {{"folder", folders_[i]}, {"ids", Json::array({row_of(ids)})}, {"dtype", dtypes_[i]}});
    }
    ASSERT_FALSE(ask_oracle("logits.py", folder_, request).is_null());
    const SafetensorsFile theirs(InputFile(folder_ / "logits.safetensors"));
    double worst = 0;
    for (size_t i = 0; i < folders_.size(); ++i) {
      const bool narrow = dtypes_[i] == "bfloat16";
      const Decoder decoder = load_folder(folders_[i], narrow ? at::kBFloat16 : at::kFloat);
      const at::Tensor ours = all_logits(decoder, ids);
      const at::Tensor expected = at::empty(ours.sizes(), at::kFloat);
      theirs.read(*theirs.find(std::to_string(i)), 0,
                  {static_cast<std::byte*>(expected.data_ptr()), expected.nbytes()});
      const bool chooses = narrow && decoder.config().experts.count > 0;
      const double error = chooses ? typical_error(ours, expected) : relative_error(ours, expected);
      EXPECT_LE(error, tolerances_[i]) << folders_[i] << " in " << dtypes_[i];
      if (!narrow) worst = std::max(worst, error);
    }
    std::printf("%zu folders, largest relative error in float32: %.3g\n", folders_.size(), worst);
  }

 private:
  const TemporaryFolder& folder_;
  std::vector<std::string> folders_;
  std::vector<std::string> dtypes_;
  std::vector<double> tolerances_;
};

/// All cases, or those whose names begin with $REGROUP_FAMILY.
std::vector<FamilyCase> tried_cases() {
  std::vector<FamilyCase> cases = family_cases();
  if (const char* asked = std::getenv("REGROUP_FAMILY")) {
    std::erase_if(cases, [&](const FamilyCase& c) { return !c.name.starts_with(asked); });
  }
  return cases;
}

class FamilyProof : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    const at::Tensor ids = random_ids(1, 2048, 64, 11);
    TokenFileWriter writer(*folder_ / "text.bin", 64);
    const std::vector<int64_t> row = row_of(ids);
    writer.add(std::vector<int32_t>(row.begin(), row.end()));
    writer.finish();
    for (const FamilyCase& family : tried_cases()) {
      write_tiny_model(*folder_ / family.name, family.spec);
    }
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static void run(const Words& words) {
    const Finished done = regroup(words);
    ASSERT_EQ(done.exit_code, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }
  static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> FamilyProof::folder_;

/// The table of docs/families.md.
std::string table_of_cases() {
  std::string table =
      "| tried as | `model_type` | class | query heads, KV heads, head_dim | refused methods |\n"
      "|---|---|---|---|---|\n";
  for (const FamilyCase& c : family_cases()) {
    std::vector<std::string> refused;
    for (const std::string& method : method_names()) {
      if (is_refused(c, method)) refused.push_back(fmt::format("`{}`", method));
    }
    if (!c.converts()) refused = {"nothing to convert"};
    table += fmt::format("| {} | `{}` | {} | {}, {}, {} | {} |\n", c.name, c.spec.model_type,
                         find_family(c.spec.model_type)->architecture, c.spec.n_heads,
                         c.spec.n_kv_heads, c.spec.head_dim, fmt::join(refused, ", "));
  }
  return table;
}

TEST(FamilyTable, OfTheDocsIsTheListOfThisTest) {
  const std::string docs = read_file("docs/families.md");
  const std::string begin = "<!-- made by tests/cli/family_proof_test.cpp -->\n";
  const size_t from = docs.find(begin) + begin.size();
  EXPECT_TRUE(docs.substr(from, docs.find("<!-- end -->") - from) == table_of_cases())
      << "docs/families.md must hold this table:\n"
      << table_of_cases();
  for (const ModelFamily* family : model_families()) {
    const std::vector<FamilyCase> cases = family_cases();
    const bool tried = std::any_of(cases.begin(), cases.end(), [&](const FamilyCase& c) {
      return c.spec.model_type == family->model_type;
    });
    EXPECT_TRUE(tried) << family->model_type;
    EXPECT_NE(docs.find(fmt::format("| `{}` |", family->model_type)), std::string::npos)
        << family->model_type;
  }
}

TEST_F(FamilyProof, LogitsAreThoseOfTransformers) {
  REGROUP_REQUIRE_ORACLE();
  Comparison all(*folder_);
  for (const FamilyCase& family : tried_cases()) {
    all.add(*folder_ / family.name, "float32", kExact);
    all.add(*folder_ / family.name, "bfloat16", kBf16);
  }
  all.expect_equal();
}

TEST_F(FamilyProof, AsManyHeadsGiveTheParentsBytes) {
  for (const FamilyCase& family : tried_cases()) {
    SCOPED_TRACE(family.name);
    if (!family.keeps_class()) continue;
    const std::string out = *folder_ / (family.name + ", as it was");
    const std::string as_many = std::to_string(family.spec.n_kv_heads);
    run(convert_words(*folder_ / family.name, out, "mean", as_many.c_str()));
    for (const char* file : {"/config.json", "/model.safetensors"}) {
      EXPECT_TRUE(read_file(out + file) == read_file(*folder_ / family.name + file)) << file;
    }
  }
}

// Baichuan as Llama: every tensor's bytes are the parent's, and the logits. GPT-NeoX as Phi: a norm is folded.
TEST_F(FamilyProof, AsManyHeadsOfAnotherClassComputeTheSame) {
  REGROUP_REQUIRE_ORACLE();
  Comparison all(*folder_);
  const at::Tensor ids = random_ids(1, kSeq, 64, 3);
  for (const FamilyCase& family : tried_cases()) {
    if (family.keeps_class()) continue;
    SCOPED_TRACE(family.name);
    const std::string in = *folder_ / family.name;
    const std::string out = in + ", as it was";
    run(convert_words(in, out, "mean", std::to_string(family.spec.n_kv_heads).c_str()));
    const Finished verified = regroup({"verify", out, "--against", in});
    EXPECT_EQ(verified.exit_code, 0) << verified.err;
    const Decoder written = load_folder(out);
    const Decoder stored = load_folder(in);
    const size_t tensors = expected_tensors(written.config()).size();
    EXPECT_TRUE(contains(verified.out, fmt::format("\n{} tensors equal those of", tensors)))
        << verified.out;
    EXPECT_EQ(written.config().family, ModelFolder::open_as_written(in).config().family);
    const bool folds = stored.config().own_mlp_norm && !written.config().own_mlp_norm;
    EXPECT_LE(relative_error(all_logits(written, ids), all_logits(stored, ids)),
              folds ? 1e-6 : 0.0);
    all.add(out, "float32", kExact);
    TinyModelSpec other = family.spec;
    other.seed = 2;
    write_tiny_model(in + ", another", other);
    const Finished wrong = regroup({"verify", out, "--against", in + ", another"});
    EXPECT_EQ(wrong.exit_code, 3) << wrong.out;
    EXPECT_TRUE(contains(wrong.err,
                         "model.layers.0.self_attn.q_proj.weight: must equal the parent's, but "
                         "differs"))
        << wrong.err;
  }
  all.expect_equal();
}

// Every KV head twice: the same model for engines that want more of them, and back again.
TEST_F(FamilyProof, RepeatedHeadsAreTheSameModelAndComeBack) {
  REGROUP_REQUIRE_ORACLE();
  Comparison all(*folder_);
  const at::Tensor ids = random_ids(1, kSeq, 64, 3);
  for (const FamilyCase& family : tried_cases()) {
    SCOPED_TRACE(family.name);
    if (!family.converts() || !family.keeps_class()) continue;
    const std::string in = *folder_ / family.name;
    const std::string wide = in + ", repeated";
    run(convert_words(in, wide, "mean", "12"));
    run({"verify", wide, "--against", in, "--quiet"});
    EXPECT_EQ(load_folder(wide).config().n_kv_heads, 12);
    EXPECT_LE(relative_error(all_logits(load_folder(wide), ids), all_logits(load_folder(in), ids)),
              2e-6);
    all.add(wide, "float32", kExact);
    run(convert_words(wide, wide + ", back", "first", "6"));
    for (const char* file : {"/config.json", "/model.safetensors"}) {
      EXPECT_TRUE(read_file(wide + ", back" + file) == read_file(in + file)) << file;
    }
  }
  all.expect_equal();
}

TEST_F(FamilyProof, EqualHeadsMergeWithoutLoss) {
  const at::Tensor ids = random_ids(1, kSeq, 64, 3);
  for (const FamilyCase& family : tried_cases()) {
    if (!family.converts()) continue;
    TinyModelSpec spec = family.spec;
    spec.distinct_kv_heads = 2;
    const std::string in = *folder_ / (family.name + ", equal heads");
    write_tiny_model(in, spec);
    const at::Tensor wanted = all_logits(load_folder(in), ids);
    for (const std::string& method : method_names()) {
      if (method == "random" || method == "prune" || is_refused(family, method)) continue;
      SCOPED_TRACE(family.name + " by " + method);
      const std::string out = in + ", " + method;
      run(convert_words(in, out, method, "2"));
      EXPECT_LE(relative_error(all_logits(load_folder(out), ids), wanted), kLossless);
    }
  }
}

TEST_F(FamilyProof, WhatEveryMethodWritesIsTheSameModelInTransformers) {
  REGROUP_REQUIRE_ORACLE();
  Comparison all(*folder_);
  for (const FamilyCase& family : tried_cases()) {
    for (const std::string& method : method_names()) {
      if (!family.converts() || is_refused(family, method)) continue;
      for (const bool text : {false, true}) {
        const char* calibrated = is_clipped(family) ? "mean" : "pca";
        if (text && method != calibrated) continue;  // the others: every_method_test.cpp
        SCOPED_TRACE(family.name + " by " + method);
        const std::string out =
            *folder_ / fmt::format("{}, {}{}", family.name, method, text ? " with text" : "");
        Words words = convert_words(*folder_ / family.name, out, method, "2");
        if (text) {
          words = with(words, {"--calibration", *folder_ / "text.bin", "--calibration-seq-len",
                               "32", "--layer-steps", "3", "--layer-batch", "2"});
        }
        run(words);
        run({"verify", out, "--against", *folder_ / family.name, "--quiet"});
        all.add(out, "float32", 1e-4);
      }
    }
  }
  all.expect_equal();
}

TEST_F(FamilyProof, WhatIsNotExactIsRefused) {
  for (const FamilyCase& family : tried_cases()) {
    for (const std::string& method : method_names()) {
      if (!is_refused(family, method)) continue;
      const Finished done =
          regroup(convert_words(*folder_ / family.name, *folder_ / "refused", method, "2"));
      EXPECT_EQ(done.exit_code, 2);
      const char* why = is_normed(family) && turns(method)
                            ? "turned planes do not commute with QK-norm"
                            : "the model clips each to 0.7";
      EXPECT_TRUE(contains(done.err, why)) << done.err;
      EXPECT_FALSE(path_exists(*folder_ / "refused"));
    }
  }
}

// Falcon-7B: its class has no key for more heads, and fewer there are not.
TEST_F(FamilyProof, OneHeadIsNothingToConvert) {
  for (const FamilyCase& family : tried_cases()) {
    if (family.converts()) continue;
    for (const char* kv_heads : {"2", "12"}) {
      const Finished done =
          regroup(convert_words(*folder_ / family.name, *folder_ / "refused", "mean", kv_heads));
      EXPECT_EQ(done.exit_code, 2);
      EXPECT_TRUE(contains(done.err, "there is nothing to convert")) << done.err;
      EXPECT_TRUE(
          contains(done.err, "hint: its KV cache is as small as it can be; `regroup plan` says"))
          << done.err;
      EXPECT_FALSE(path_exists(*folder_ / "refused"));
    }
  }
}

TEST_F(FamilyProof, TheDefaultMethodIsOneThatIsExact) {
  for (const FamilyCase& family : tried_cases()) {
    SCOPED_TRACE(family.name);
    if (!family.converts()) continue;
    const std::string out = *folder_ / (family.name + ", by default");
    run({"convert", *folder_ / family.name, out, "--kv-heads", "2", "--device", "cpu", "--threads",
         "1", "--quiet"});
    const Json manifest = Json::parse(read_file(out + "/regroup.json"));
    EXPECT_EQ(manifest["method"]["name"], is_clipped(family) ? "weighted" : "pca");
  }
}

TEST_F(FamilyProof, AStepOfUptrainingGivesAnotherModelThatLoads) {
  REGROUP_REQUIRE_ORACLE();
  const at::Tensor ids = random_ids(1, kSeq, 64, 3);
  Comparison all(*folder_);
  for (const FamilyCase& family : tried_cases()) {
    for (const char* scope : {"all", "attention", "kv"}) {
      SCOPED_TRACE(family.name + ", " + scope);
      const std::string parent = *folder_ / family.name;
      const std::string out = fmt::format("{}, uptrained {}", parent, scope);
      run({"uptrain",
           parent,
           out,
           "--data",
           *folder_ / "text.bin",
           "--steps",
           "1",
           "--lr",
           "0.01",
           "--seq-len",
           "16",
           "--batch-size",
           "2",
           "--device",
           "cpu",
           "--threads",
           "1",
           "--train",
           scope,
           "--schedule",
           "constant",
           "--quiet"});
      all.add(out + "/model", "float32", kExact);
      const at::Tensor before = all_logits(load_folder(parent), ids);
      EXPECT_GT(relative_error(all_logits(load_folder(out + "/model"), ids), before), 1e-4);
    }
  }
  all.expect_equal();
}

TEST_F(FamilyProof, ACacheGivesTheTokensOfTransformers) {
  REGROUP_REQUIRE_ORACLE();
  // Phi-3's longrope changes its angles on the way.
  const std::vector<int64_t> prompt = {3, 9, 27, 17, 51, 25, 11};
  Json folders = Json::array();
  for (const FamilyCase& family : tried_cases()) folders.push_back(*folder_ / family.name);
  const Json theirs =
      ask_oracle("greedy.py", *folder_, {{"folders", folders}, {"prompt", prompt}, {"n", 24}});
  ASSERT_EQ(theirs.size(), folders.size());
  for (size_t i = 0; i < folders.size(); ++i) {
    const Decoder decoder = load_folder(folders[i].get<std::string>());
    auto wanted = theirs[i].get<std::vector<int32_t>>();
    if (!wanted.empty() && wanted.back() == 2) wanted.pop_back();  // the end of the text
    const std::vector<int32_t> start(prompt.begin(), prompt.end());
    EXPECT_EQ(generate(decoder, start, {.max_new_tokens = 24}), wanted) << folders[i];
  }
}

}  // namespace
}  // namespace regroup::testing
