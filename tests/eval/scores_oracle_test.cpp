// Losses and KL against those of transformers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/eval/text_eval.h"

namespace regroup::testing {
namespace {

TEST(ScoresOracle, TransformersGivesOurLossesAndKl) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  const TinyModelSpec base_spec{.n_heads = 6, .n_kv_heads = 6, .head_dim = 10, .hidden_size = 36};
  TinyModelSpec spec = base_spec;
  spec.n_kv_heads = 3;
  write_tiny_model(temporary / "base", base_spec);
  write_tiny_model(temporary / "model", spec);
  const at::Tensor ids = random_ids(1, 200, 64, 1);
  const std::vector<int64_t> stream(ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + 200);
  const auto expected = ask_oracle("scores.py", temporary,
                                   {{"baseline", temporary / "base"},
                                    {"model", temporary / "model"},
                                    {"ids", stream},
                                    {"seq_len", 32}});
  ASSERT_EQ(expected.size(), 7u);  // 199 predictions: 6 windows of 32 and one of 7
  for (const at::Device device : devices()) {
    const Decoder base = load_folder(temporary / "base", at::kFloat, device);
    const Decoder model = load_folder(temporary / "model", at::kFloat, device);
    const auto scores =
        score_text({&base, &model}, 0, {.name = "text", .ids = stream, .bytes = {}, .words = {}},
                   {.seq_len = 32}, false);
    for (size_t w = 0; w < 7; ++w) {
      const WindowScore& own = scores[1].windows[w];
      EXPECT_EQ(own.tokens, expected[w].at("tokens"));
      EXPECT_NEAR(own.nll / expected[w].at("nll").get<double>(), 1, 1e-6);
      EXPECT_NEAR(own.kl / expected[w].at("kl").get<double>(), 1, 1e-5);
      EXPECT_EQ(own.agreed, expected[w].at("agreed"));
    }
  }
}

}  // namespace
}  // namespace regroup::testing
