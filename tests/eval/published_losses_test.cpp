// The published numbers of shared/models/stories260k-mha8 (shared/README.md).
#include <gtest/gtest.h>

#include <filesystem>

#include "convert/convert_tools.h"
#include "eval/published.h"

namespace regroup::testing {
namespace {

const std::string kModel = kShared + "/models/stories260k-mha8";

class PublishedLosses : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kModel) || !std::filesystem::exists(kValid)) {
      GTEST_SKIP() << kModel << " or " << kValid << " is absent";
    }
  }
};

TEST_F(PublishedLosses, Parent) {
  const Decoder model = load_published(kModel);
  const TokenStream stream = valid_stream(kModel, 60'000);
  ASSERT_EQ(stream.ids.size(), 60'000u);
  const auto scores = score_text({&model}, -1, stream, {.seq_len = 512}, false);
  EXPECT_NEAR(total_of(scores[0]).loss, 1.3871, 5e-5);
}

// Every KV head of the parent stands there twice: four heads lose nothing, two and one do.
TEST_F(PublishedLosses, Converted) {
  const TemporaryFolder temporary;
  const Decoder parent = load_published(kModel);
  std::vector<Decoder> converted;
  for (const int64_t n_kv_heads : {4, 2, 1}) {
    const std::string out = temporary / std::to_string(n_kv_heads);
    convert(kModel, out, n_kv_heads);
    converted.push_back(load_published(out));
  }
  const TokenStream stream = valid_stream(kModel, 20'000);
  const auto scores = score_text({&parent, &converted[0], &converted[1], &converted[2]}, 0, stream,
                                 {.seq_len = 512}, false);
  // The GQA path of the attention adds in another order: not a bit more.
  EXPECT_LT(total_of(scores[1]).kl, 1e-9);
  EXPECT_GT(total_of(scores[1]).agreement, 0.9999);
  EXPECT_NEAR(total_of(scores[2]).kl, 3.30, 0.005);
  EXPECT_NEAR(total_of(scores[2]).agreement, 0.170, 0.0005);
  EXPECT_NEAR(total_of(scores[3]).kl, 3.76, 0.005);
  EXPECT_NEAR(total_of(scores[3]).agreement, 0.145, 0.0005);
}

}  // namespace
}  // namespace regroup::testing
