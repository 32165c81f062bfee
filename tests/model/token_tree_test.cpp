// Sequences side by side, and sequences of different lengths in a cache: each gives what it gives alone.
#include "regroup/model/token_tree.h"

#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "model/decoder_tools.h"
#include "support/family_cases.h"

namespace regroup::testing {
namespace {

// Two trees in one row: 7 tokens, then 4 or 1 and 3, of which the last 3 go on in two ways; and 5 tokens alone.
const TokenTree kTree{{{.parent = -1, .first = 0, .count = 7, .past = 0},
                       {.parent = 0, .first = 7, .count = 4, .past = 7},
                       {.parent = 0, .first = 11, .count = 1, .past = 7},
                       {.parent = 2, .first = 12, .count = 3, .past = 8},
                       {.parent = 3, .first = 15, .count = 2, .past = 11},
                       {.parent = 3, .first = 17, .count = 6, .past = 11},
                       {.parent = -1, .first = 23, .count = 5, .past = 0}}};

/// Families whose angles follow from a sequence's length are fed alone (request_batches.cpp, generate_greedily.cpp).
bool turns_by_length(const ModelConfig& config) {
  return config.rope.depends_on_length(17, config.max_positions);
}

/// Rows of the sequence that ends with `node`.
std::vector<int64_t> rows_of(const TokenTree& tree, int64_t node) {
  std::vector<int64_t> rows;
  for (; node >= 0; node = tree.nodes[static_cast<size_t>(node)].parent) {
    const TokenTree::Node& own = tree.nodes[static_cast<size_t>(node)];
    for (int64_t i = own.count; i-- > 0;) rows.insert(rows.begin(), own.first + i);
  }
  return rows;
}

void expect_alone(const Decoder& decoder, const TokenTree& tree, double tolerance) {
  const at::Tensor ids = random_ids(1, tree.size(), 64, 3);
  const at::Tensor together = decoder.hidden(ids.to(decoder.device()), tree).to(at::kCPU);
  EXPECT_EQ(together.sizes(), (std::vector<int64_t>{1, tree.size(), decoder.config().hidden_size}));
  for (size_t n = 0; n < tree.nodes.size(); ++n) {
    const at::Tensor rows = at::tensor(rows_of(tree, static_cast<int64_t>(n)), at::kLong);
    const at::Tensor alone = decoder.hidden(ids.index_select(1, rows).to(decoder.device()));
    EXPECT_LE(relative_error(together.index_select(1, rows), alone), tolerance) << "node " << n;
  }
}

TEST(TokenTree, EverySequenceIsAsAlone) {
  const c10::InferenceMode no_gradients;
  for (const FamilyCase& family : family_cases()) {
    SCOPED_TRACE(family.name);
    const TemporaryFolder folder;
    write_tiny_model(folder / "model", family.spec);
    for (const at::Device device : devices()) {
      for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {  // a kernel, and a mask
        if (dtype == at::kDouble && !device.is_cpu()) continue;
        const Decoder decoder = load_folder(folder / "model", dtype, device);
        if (turns_by_length(decoder.config())) continue;
        expect_alone(decoder, kTree, 2e-5);
      }
    }
  }
}

TEST(TokenTree, OneSequenceIsTheWhole) {
  const c10::InferenceMode no_gradients;
  const TemporaryFolder folder;
  write_tiny_model(folder / "model", {.n_kv_heads = 2});
  const Decoder decoder = load_folder(folder / "model");
  const at::Tensor ids = random_ids(1, 9, 64, 1);
  EXPECT_TRUE(decoder.hidden(ids, TokenTree{{{.count = 9}}}).equal(decoder.hidden(ids)));
}

// More keys than one block holds: 300 and 90 behind them, a window that ends in the parent.
TEST(TokenTree, LongSequences) {
  const c10::InferenceMode no_gradients;
  for (const auto& window : {std::optional<int64_t>(), std::optional<int64_t>(100)}) {
    const TemporaryFolder folder;
    write_tiny_model(
        folder / "model",
        {.model_type = "mistral", .n_kv_heads = 2, .max_positions = 512, .sliding_window = window});
    const Decoder decoder = load_folder(folder / "model");
    expect_alone(decoder,
                 TokenTree{{{.parent = -1, .first = 0, .count = 300, .past = 0},
                            {.parent = 0, .first = 300, .count = 90, .past = 300},
                            {.parent = 1, .first = 390, .count = 1, .past = 390},
                            {.parent = 0, .first = 391, .count = 17, .past = 300}}},
                 2e-5);
  }
}

// Sequences of 9, 4 and 1 tokens in one cache; the first ends, another comes.
TEST(UnevenCache, EverySequenceIsAsAlone) {
  const c10::InferenceMode no_gradients;
  for (const FamilyCase& family : family_cases()) {
    SCOPED_TRACE(family.name);
    const TemporaryFolder folder;
    write_tiny_model(folder / "model", family.spec);
    for (const at::Device device : devices()) {
      const Decoder decoder = load_folder(folder / "model", at::kFloat, device);
      const ModelConfig& config = decoder.config();
      if (turns_by_length(config)) continue;
      const at::Tensor ids = random_ids(4, 14, 64, 5).to(device);
      KvCache cache(config, 0, 0, decoder.dtype(), device);
      std::vector<std::pair<int64_t, int64_t>> texts;  // row of ids, tokens so far
      const auto begin = [&](int64_t row, int64_t length) {
        KvCache own(config, 1, length, decoder.dtype(), device);
        decoder.hidden(ids.narrow(0, row, 1).narrow(1, 0, length), &own);
        cache.add(own);
        texts.emplace_back(row, length);
      };
      const auto step = [&] {
        std::vector<at::Tensor> next;
        for (const auto& [row, length] : texts) {
          next.push_back(ids.narrow(0, row, 1).narrow(1, length, 1));
        }
        const at::Tensor made = decoder.hidden(at::cat(next, 0), &cache);
        ASSERT_EQ(made.size(0), static_cast<int64_t>(texts.size()));
        for (size_t i = 0; i < texts.size(); ++i) {
          auto& [row, length] = texts[i];
          ++length;
          const at::Tensor alone = decoder.hidden(ids.narrow(0, row, 1).narrow(1, 0, length));
          EXPECT_LE(relative_error(made[static_cast<int64_t>(i)][0], alone[0][length - 1]), 2e-5)
              << "text " << row << ", " << length << " tokens";
        }
      };
      begin(0, 9);
      begin(1, 4);
      begin(2, 1);
      for (int i = 0; i < 3; ++i) step();
      cache.remove(0);
      texts[0] = texts.back();
      texts.pop_back();
      EXPECT_EQ(cache.lengths(), (std::vector<int64_t>{4, 7}));
      step();
      begin(3, 12);
      step();
      EXPECT_EQ(cache.length(), 13);
    }
  }
}

}  // namespace
}  // namespace regroup::testing
