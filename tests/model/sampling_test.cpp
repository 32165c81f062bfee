// Continuing a prompt: the most likely token, or a draw from the nucleus.
#include <ATen/ops/argmax.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/model/generate.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;

Decoder random_decoder(const TinyModelSpec& spec, at::Device device = at::kCPU) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", spec);
  return load_folder(temporary / "model", at::kFloat, device);
}

/// A model whose next token has the probabilities `p` whatever came before: attention and MLP write
/// nothing, every token has the same embedding, lm_head holds log p.
Decoder fixed_decoder(const std::vector<double>& p, int64_t eos = -1) {
  const auto vocab = static_cast<int64_t>(p.size());
  TinyModelSpec spec{.n_layers = 1, .vocab_size = vocab};
  spec.extra_config = {{"bos_token_id", nullptr}, {"eos_token_id", nullptr}};
  if (eos >= 0) spec.extra_config["eos_token_id"] = eos;
  const ModelConfig config = parse_model_config(tiny_config(spec), "config.json");
  Decoder decoder(config, at::kFloat, at::kCPU);
  initialize_weights(decoder, 1);
  decoder.layer(0).output.zero_();
  decoder.layer(0).down.zero_();
  decoder.embedding().fill_(1);
  decoder.untied_lm_head().zero_();
  for (int64_t id = 0; id < vocab; ++id) {
    decoder.untied_lm_head()[id][0] = std::log(p[static_cast<size_t>(id)]);
  }
  return decoder;
}

/// How often each id comes in `n` draws, as a share.
std::vector<double> frequencies(const Decoder& decoder, SamplingOptions options, int64_t n) {
  std::vector<double> counts(static_cast<size_t>(decoder.config().vocab_size));
  options.max_new_tokens = 250;
  int64_t drawn = 0;
  for (; drawn < n; ++options.seed) {
    for (const int32_t id : generate(decoder, {0}, options)) {
      counts[static_cast<size_t>(id)] += 1;
      ++drawn;
    }
  }
  for (double& count : counts) count /= static_cast<double>(drawn);
  return counts;
}

TEST(Sampling, GreedyTakesTheMostLikelyToken) {
  for (const at::Device device : devices()) {
    const Decoder decoder = random_decoder({.n_kv_heads = 2}, device);
    const Ids prompt = {1, 5, 9};
    const Ids made = generate(decoder, prompt, {.max_new_tokens = 20});
    std::vector<int64_t> all(prompt.begin(), prompt.end());
    for (size_t i = 0; i <= made.size() && i < 20; ++i) {
      const at::Tensor ids = at::tensor(all, at::kLong).unsqueeze(0);
      const int64_t best = at::argmax(all_logits(decoder, ids)[0][-1]).item<int64_t>();
      if (i == made.size()) {
        EXPECT_EQ(best, 2);  // ended by eos_token_id
        break;
      }
      EXPECT_EQ(made[i], best) << i;
      all.push_back(best);
    }
  }
}

// The prompts of different length that share an end differ: the whole prompt counts.
TEST(Sampling, FollowsTheSeed) {
  const Decoder decoder = random_decoder({});
  const SamplingOptions options{.max_new_tokens = 30, .temperature = 1.0, .seed = 3};
  SamplingOptions other = options;
  other.seed = 4;
  const Ids one = generate(decoder, {1, 5}, options);
  EXPECT_EQ(one, generate(decoder, {1, 5}, options));
  EXPECT_NE(one, generate(decoder, {1, 5}, other));
  EXPECT_NE(one, generate(decoder, {1, 7, 5}, options));
}

// Neither a tiny temperature nor a tiny nucleus leaves a choice.
TEST(Sampling, LimitsOfGreedy) {
  const Decoder decoder = random_decoder({});
  const Ids greedy = generate(decoder, {1, 5}, {.max_new_tokens = 20});
  const SamplingOptions cold{.max_new_tokens = 20, .temperature = 1e-4, .seed = 9};
  const SamplingOptions narrow{.max_new_tokens = 20, .temperature = 1.0, .top_p = 1e-9, .seed = 9};
  EXPECT_EQ(generate(decoder, {1, 5}, cold), greedy);
  EXPECT_EQ(generate(decoder, {1, 5}, narrow), greedy);
}

// Shares of 5,000 draws have a standard deviation of at most 0.0071; 0.035 is five of them.
TEST(Sampling, Distribution) {
  const Decoder decoder = fixed_decoder({0.5, 0.3, 0.15, 0.05});
  struct Case {
    const char* why;
    SamplingOptions options;
    std::vector<double> expected;
  };
  // Square roots of p: 0.7071, 0.5477, 0.3873, 0.2236, in all 1.8657.
  const Case cases[] = {
      {"as it is", {.temperature = 1.0}, {0.5, 0.3, 0.15, 0.05}},
      {"temperature 2", {.temperature = 2.0}, {0.3790, 0.2936, 0.2076, 0.1198}},
      // 0.5 is less than 0.6, 0.5 + 0.3 is not: two tokens, 0.5 / 0.8 and 0.3 / 0.8.
      {"top_p 0.6", {.temperature = 1.0, .top_p = 0.6}, {0.625, 0.375, 0, 0}},
      {"top_p 0.94", {.temperature = 1.0, .top_p = 0.94}, {0.5263, 0.3158, 0.1579, 0}},
      // p^2: 0.25, 0.09, 0.0225, 0.0025, in all 0.365; the nucleus is taken after the temperature.
      {"both", {.temperature = 0.5, .top_p = 0.9}, {0.7353, 0.2647, 0, 0}},
  };
  for (const Case& c : cases) {
    const auto found = frequencies(decoder, c.options, 5'000);
    for (size_t id = 0; id < 4; ++id) {
      EXPECT_NEAR(found[id], c.expected[id], c.expected[id] == 0 ? 0 : 0.035)
          << c.why << ", id " << id;
    }
  }
}

TEST(Sampling, Ends) {
  // The most likely token ends the text and is not part of it.
  EXPECT_EQ(generate(fixed_decoder({0.1, 0.2, 0.7}, 2), {0}, {.max_new_tokens = 5}), Ids{});
  const Decoder endless = fixed_decoder({0.1, 0.2, 0.7});
  EXPECT_EQ(generate(endless, {0}, {.max_new_tokens = 3}), (Ids{2, 2, 2}));
  EXPECT_EQ(generate(endless, {0}, {.max_new_tokens = 0}), Ids{});
  int seen = 0;
  EXPECT_EQ(generate(endless, {0}, {.max_new_tokens = 9},
                     [&](int32_t id) {
                       EXPECT_EQ(id, 2);
                       return ++seen < 4;
                     }),
            (Ids{2, 2, 2, 2}));
  const ErrorInfo error =
      expect_error<ConfigError>("PROMPT_EMPTY", [&] { generate(endless, {}, {}); });
  EXPECT_EQ(error.message, "the prompt must hold at least one token");
}

TEST(Sampling, TransformersGivesTheSameTokens) {
  REGROUP_REQUIRE_ORACLE();
  const std::string model = "../shared/models/stories260k-mha8";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is absent";
  const TemporaryFolder temporary;
  const Ids prompt = {1, 403, 407, 261, 378};  // "Once upon a time"-like; any ids will do
  const auto expected =
      ask_oracle("greedy.py", temporary,
                 {{"folders", {std::filesystem::absolute(model)}}, {"prompt", prompt}, {"n", 200}});
  ASSERT_FALSE(expected.is_null());
  for (const at::Device device : devices()) {
    const Ids made =
        generate(load_folder(model, at::kFloat, device), prompt, {.max_new_tokens = 200});
    EXPECT_EQ(made, expected.at(0).get<Ids>());
    EXPECT_EQ(made.size(), 200u);
  }
}

std::vector<int64_t> zeros(int64_t n) { return std::vector<int64_t>(static_cast<size_t>(n), 0); }

TEST(SampledTexts, TokensComeAsOftenAsTheyAreLikely) {
  const std::vector<double> p = {0.5, 0.25, 0.15, 0.1, 0.0, 0.0, 0.0, 0.0};
  const at::Tensor texts = sample_texts(fixed_decoder(p, /*eos=*/1), zeros(40), 251, 16, 3);
  EXPECT_EQ(texts.sizes(), (std::vector<int64_t>{40, 251}));
  const at::Tensor drawn =
      texts.narrow(1, 1, 250).flatten();  // ends of documents do not end a text
  const auto n = static_cast<double>(drawn.numel());
  for (int64_t id = 0; id < 8; ++id) {
    const double share = static_cast<double>(drawn.eq(id).sum().item<int64_t>()) / n;
    const double likely = p[static_cast<size_t>(id)];
    EXPECT_NEAR(share, likely, 5 * std::sqrt(likely * (1 - likely) / n)) << id;
  }
}

// Where one token is all but certain, each text is what the model would say token by token.
TEST(SampledTexts, FollowTheModel) {
  for (const at::Device device : devices()) {
    Decoder decoder = random_decoder({.n_kv_heads = 2}, device);
    decoder.untied_lm_head().mul_(1e5);
    const std::vector<int64_t> first = {5, 9, 5, 31, 0};
    std::vector<int64_t> made;
    const at::Tensor texts =
        sample_texts(decoder, first, 20, 2, 1, [&](int64_t tokens) { made.push_back(tokens); });
    ASSERT_EQ(made.size(), 3u * 19u);  // two, two and one text, token by token
    EXPECT_EQ(made[0], 2 * 2);
    EXPECT_EQ(made[19], 2 * 20 + 2 * 2);
    EXPECT_EQ(made[38], 4 * 20 + 2);
    EXPECT_EQ(made.back(), 5 * 20);
    for (size_t i = 0; i < first.size(); ++i) {
      const Ids alone = generate(decoder, {static_cast<int32_t>(first[i])}, {.max_new_tokens = 19});
      EXPECT_EQ(texts[static_cast<int64_t>(i)][0].item<int64_t>(), first[i]);
      for (size_t t = 0; t < alone.size(); ++t) {
        EXPECT_EQ(texts[static_cast<int64_t>(i)][static_cast<int64_t>(t) + 1].item<int64_t>(),
                  alone[t]);
      }
    }
  }
}

TEST(SampledTexts, FollowFromTheSeed) {
  const Decoder decoder = random_decoder({});
  const at::Tensor texts = sample_texts(decoder, {1, 2, 3}, 30, 64, 7);
  EXPECT_TRUE(texts.equal(sample_texts(decoder, {1, 2, 3}, 30, 64, 7)));
  EXPECT_FALSE(texts.equal(sample_texts(decoder, {1, 2, 3}, 30, 64, 8)));
  EXPECT_FALSE(texts[0].equal(texts[1]));
}

}  // namespace
}  // namespace regroup::testing
