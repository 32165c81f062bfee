#include "dataset.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "regroup/base/error.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

/// A token file with the ids first, first + 1, ...
std::string count_up(const TemporaryFolder& folder, const std::string& name, int32_t first,
                     int32_t n) {
  TokenFileWriter writer(folder / name, 1000);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < n; ++i) ids.push_back(first + i);
  writer.add(ids);
  writer.finish();
  return folder / name;
}

TEST(KeyedPermutation, IsAPermutationOfEverySize) {
  for (uint64_t n = 1; n <= 200; ++n) {
    for (const uint64_t key : {uint64_t{0}, uint64_t{7}, ~uint64_t{0}}) {
      const KeyedPermutation order(n, key);
      std::set<uint64_t> seen;
      for (uint64_t i = 0; i < n; ++i) seen.insert(order(i));
      EXPECT_EQ(seen.size(), n) << n << " " << key;
      EXPECT_LT(*seen.rbegin(), n);
    }
  }
}

TEST(KeyedPermutation, LargeSizesStayInsideAndDoNotCollide) {
  for (const uint64_t n : {uint64_t{1} << 20, (uint64_t{1} << 31) + 1, uint64_t{1000000000039}}) {
    const KeyedPermutation order(n, 3);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < 20000; ++i) {
      const uint64_t value = order(i * (n / 20000));
      ASSERT_LT(value, n);
      seen.insert(value);
    }
    EXPECT_EQ(seen.size(), 20000u);
  }
}

// Two files of 11 and 9 ids, windows of 4 + 1: (11 - 1) / 4 = 2 and (9 - 1) / 4 = 2 windows. The
// window beyond a file's end is not made from the next file.
TEST(Dataset, WindowsByHand) {
  const TemporaryFolder folder;
  const Dataset data({count_up(folder, "a.bin", 0, 11), count_up(folder, "b.bin", 100, 9)},
                     TokenFormat::kAuto, 4, 1000, 5);
  EXPECT_EQ(data.n_windows(), 4);
  EXPECT_EQ(data.n_tokens(), 20);
  const int64_t starts[] = {0, 4, 100, 104};
  const at::Tensor batch = data.batch(0, 8);  // two epochs
  for (int64_t i = 0; i < 8; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      EXPECT_EQ(batch[i][j].item<int64_t>(), starts[data.window_of(i)] + j) << i << " " << j;
    }
  }
}

TEST(Dataset, EveryEpochVisitsEveryWindowOnceInAnOrderOfItsOwn) {
  const TemporaryFolder folder;
  const std::string file = count_up(folder, "a.bin", 0, 4 * 50 + 1);
  const auto epoch = [&](uint64_t seed, int64_t which) {
    const Dataset data({file}, TokenFormat::kAuto, 4, 1000, seed);
    std::vector<int64_t> order;
    for (int64_t i = 0; i < 50; ++i) order.push_back(data.window_of(which * 50 + i));
    return order;
  };
  std::set<std::vector<int64_t>> orders;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (int64_t which = 0; which < 4; ++which) {
      const std::vector<int64_t> order = epoch(seed, which);
      EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 50u);
      EXPECT_EQ(order, epoch(seed, which));
      orders.insert(order);
    }
  }
  EXPECT_EQ(orders.size(), 16u);
}

TEST(Dataset, AnySplitOfABatchIsTheSame) {
  const TemporaryFolder folder;
  const Dataset data({count_up(folder, "a.bin", 0, 60), count_up(folder, "b.bin", 90, 33)},
                     TokenFormat::kAuto, 4, 1000, 1);
  const at::Tensor whole = data.batch(3, 40);
  for (const int64_t part : {1, 3, 7}) {
    for (int64_t at = 0; at < 40; at += part) {
      const int64_t n = std::min<int64_t>(part, 40 - at);
      EXPECT_TRUE(at::equal(data.batch(3 + at, n), whole.narrow(0, at, n)));
    }
  }
}

TEST(Dataset, FingerprintIsOfTheIds) {
  const TemporaryFolder folder;
  const auto print = [](const std::string& path) {
    return Dataset({path}, TokenFormat::kAuto, 4, 1000, 1).fingerprint();
  };
  const std::string a = print(count_up(folder, "a.bin", 0, 60));
  EXPECT_EQ(a, print(count_up(folder, "moved.bin", 0, 60)));
  EXPECT_NE(a, print(count_up(folder, "other.bin", 1, 60)));
}

// 16 ids as 8 + 8, 12 + 4 and 16: the same ids, but other windows.
TEST(Dataset, FingerprintTellsWhereFilesEnd) {
  const TemporaryFolder folder;
  const auto print = [](const std::vector<std::string>& paths) {
    return Dataset(paths, TokenFormat::kAuto, 3, 1000, 1).fingerprint();
  };
  const std::string whole = print({count_up(folder, "whole.bin", 0, 16)});
  const std::string halves =
      print({count_up(folder, "a.bin", 0, 8), count_up(folder, "b.bin", 8, 8)});
  const std::string uneven =
      print({count_up(folder, "c.bin", 0, 12), count_up(folder, "d.bin", 12, 4)});
  EXPECT_NE(whole, halves);
  EXPECT_NE(halves, uneven);
  EXPECT_EQ(halves, print({count_up(folder, "e.bin", 0, 8), count_up(folder, "f.bin", 8, 8)}));
}

TEST(Dataset, Errors) {
  const TemporaryFolder folder;
  const auto open = [&](const std::string& path, int64_t seq_len, int64_t vocab) {
    return [=] { Dataset({path}, TokenFormat::kAuto, seq_len, vocab, 0); };
  };
  const std::string path = count_up(folder, "a.bin", 0, 16);
  open(path, 15, 16)();  // 16 ids are exactly one window of 15 + 1
  EXPECT_EQ(expect_error("TEXT_TOO_SHORT", open(path, 16, 1000)).message,
            path +
                ": the data must hold at least one window of `seq-len` + 1 = 17 tokens, "
                "found 16");
  EXPECT_TRUE(contains(expect_error("TOKENS_RANGE", open(path, 4, 15)).message, "15"));
}

}  // namespace
}  // namespace regroup::testing
