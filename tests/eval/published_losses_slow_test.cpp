// The published numbers that take a while (shared/README.md).
#include <gtest/gtest.h>

#include <filesystem>

#include "convert/convert_tools.h"
#include "eval/published.h"

namespace regroup::testing {
namespace {

// Losses of the parent and of its means at G = 4, 2, 1, on 60,000 tokens at seq_len 256.
TEST(PublishedLossesSlow, Tinystories) {
  const std::string model = kShared + "/models/tinystories-mha8";
  if (!std::filesystem::exists(model) || !std::filesystem::exists(kValid)) {
    GTEST_SKIP() << model << " or " << kValid << " is absent";
  }
  const TemporaryFolder temporary;
  std::vector<Decoder> models;
  models.push_back(load_published(model));
  for (const int64_t n_kv_heads : {4, 2, 1}) {
    const std::string out = temporary / std::to_string(n_kv_heads);
    convert(model, out, n_kv_heads);
    models.push_back(load_published(out));
  }
  const TokenStream stream = valid_stream(model, 60'000);
  const auto scores = score_text({&models[0], &models[1], &models[2], &models[3]}, 0, stream,
                                 {.seq_len = 256}, false);
  const double losses[] = {1.4900, 3.1516, 4.5558, 4.7774};
  for (size_t m = 0; m < 4; ++m) EXPECT_NEAR(total_of(scores[m]).loss, losses[m], 5e-5);

  const TokenStream head = valid_stream(model, 20'000);
  const auto fidelity = score_text({&models[0], &models[1], &models[2], &models[3]}, 0, head,
                                   {.seq_len = 256}, false);
  const double kl[] = {0, 1.764, 3.186, 3.410};
  const double agreement[] = {1, 0.319, 0.149, 0.131};
  for (size_t m = 0; m < 4; ++m) {
    EXPECT_NEAR(total_of(fidelity[m]).kl, kl[m], 5e-4);
    EXPECT_NEAR(total_of(fidelity[m]).agreement, agreement[m], 5e-4);
  }
}

}  // namespace
}  // namespace regroup::testing
