// The card that a converted model gets.
#include <gtest/gtest.h>

#include <filesystem>

#include "convert/convert_tools.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kParentCard =
    "---\nlibrary_name: transformers\nlicense: other\nlicense_name: tiny-terms\nlicense_link: >-\n"
    "  https://example.org/terms\nlanguage:\n- en\n- de\ndatasets:\n- secret\n---\n\n# The "
    "parent\n";

class ModelCard : public ::testing::Test {
 protected:
  ModelCard() {
    write_tiny_model(temporary_ / "tiny-mha", {.n_heads = 8, .n_kv_heads = 8, .head_dim = 4});
    temporary_.write("tiny-mha/README.md", kParentCard);
  }
  void convert(int64_t kv_heads, const std::string& dtype = "keep") {
    const ModelFolder model = ModelFolder::open(temporary_ / "tiny-mha");
    const ConvertOptions options{.model = temporary_ / "tiny-mha",
                                 .out = temporary_ / "out",
                                 .n_kv_heads = kv_heads,
                                 .method = Method::kMean,
                                 .grouping = Grouping::kContiguous,
                                 .dtype = dtype};
    execute_conversion(model, plan_conversion(model, options), options, {});
  }
  std::string file(const std::string& name) const { return read_file(temporary_ / "out/" + name); }

  TemporaryFolder temporary_;
};

TEST_F(ModelCard, SaysWhatTheModelIsAndKeepsTheLicence) {
  convert(2);
  const std::string card = file("README.md");
  const std::string front = card.substr(0, card.find("\n---\n", 4));
  EXPECT_EQ(front,
            "---\nlicense: other\nlicense_name: tiny-terms\nlicense_link: >-\n"
            "  https://example.org/terms\nlanguage:\n- en\n- de\nbase_model: tiny-mha\n"
            "pipeline_tag: text-generation\ntags:\n- regroup\n- grouped-query-attention");
  EXPECT_TRUE(contains(card, "# tiny-mha with 2 key/value heads"));
  EXPECT_TRUE(contains(card, "| key/value heads | 8 | 2 |"));
  // 2 layers * (K, V) * heads * 4 channels * 2 bytes
  EXPECT_TRUE(contains(card, "| KV cache of a token, bf16 | 256 B | 64 B |"));
  EXPECT_TRUE(contains(card, "Its quality was not measured."));
  EXPECT_TRUE(contains(card, "regroup convert PARENT OUT --kv-heads 2 --method mean"));
  EXPECT_EQ(file("README-parent.md"), kParentCard);
  EXPECT_EQ(card.find(temporary_.path()), std::string::npos) << "a place of this machine";
}

TEST_F(ModelCard, IsTheParentsWhereNothingChanges) {
  convert(8);
  EXPECT_EQ(file("README.md"), kParentCard);
  EXPECT_FALSE(path_exists(temporary_ / "out/README-parent.md"));
}

// A model that was converted before: no card is lost, and no licence line.
TEST_F(ModelCard, OfAModelThatWasConvertedBefore) {
  convert(4);
  fs::remove_all(temporary_ / "tiny-mha");
  fs::rename(temporary_ / "out", temporary_ / "tiny-mha");
  const std::string before = read_file(temporary_ / "tiny-mha/README.md");
  convert(2);
  EXPECT_EQ(file("README-parent.md"), kParentCard);
  EXPECT_EQ(file("README-parent-2.md"), before);
  EXPECT_TRUE(contains(file("README.md"), "license_name: tiny-terms"));
  EXPECT_TRUE(contains(file("README.md"), "The parent's card is README-parent-2.md"));
}

TEST_F(ModelCard, OfAParentWithoutOne) {
  fs::remove(temporary_ / "tiny-mha/README.md");
  convert(1);
  EXPECT_TRUE(file("README.md").starts_with("---\nbase_model: tiny-mha\n"));
  EXPECT_TRUE(contains(file("README.md"), "with 1 key/value head\n"));
  EXPECT_FALSE(path_exists(temporary_ / "out/README-parent.md"));
}

}  // namespace
}  // namespace regroup::testing
