// The file of every token's loss, as other programs read it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "regroup/base/input_file.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/eval/results.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

template <typename T>
std::vector<T> read(const SafetensorsFile& file, const char* name) {
  const TensorInfo& info = *file.find(name);
  std::vector<T> values(static_cast<size_t>(info.bytes()) / sizeof(T));
  file.read(info, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

// Ids 10 .. 16 at seq_len 4: windows 10-14 and 14-16, the second padded by two.
TEST(TokenNll, ShortLastWindowIsPadded) {
  const TemporaryFolder temporary;
  const EvaluatedText text{
      .stream = {.name = "t", .ids = {10, 11, 12, 13, 14, 15, 16}, .bytes = {}, .words = {}},
      .windows = {.seq_len = 4}};
  const TextScore score{.windows = std::vector<WindowScore>(2), .token_nll = {1, 2, 3, 4, 5, 6}};
  write_token_nll(temporary / "nll.safetensors", text, score);
  const SafetensorsFile file(InputFile(temporary / "nll.safetensors"));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.find("ids")->dtype, Dtype::kI64);
  EXPECT_EQ(file.find("ids")->shape, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(file.find("nll")->dtype, Dtype::kF32);
  EXPECT_EQ(file.find("nll")->shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(read<int64_t>(file, "ids"),
            (std::vector<int64_t>{10, 11, 12, 13, 14, 14, 15, 16, -1, -1}));
  const auto nll = read<float>(file, "nll");
  EXPECT_EQ(std::vector<float>(nll.begin(), nll.begin() + 6),
            (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(std::isnan(nll[6]) && std::isnan(nll[7]));
}

// Nine ids at seq_len 4 fill two windows to the last place.
TEST(TokenNll, WholeWindowsHaveNoPadding) {
  const TemporaryFolder temporary;
  const EvaluatedText text{
      .stream = {.name = "t", .ids = {0, 1, 2, 3, 4, 5, 6, 7, 8}, .bytes = {}, .words = {}},
      .windows = {.seq_len = 4}};
  const TextScore score{.windows = std::vector<WindowScore>(2),
                        .token_nll = {1, 2, 3, 4, 5, 6, 7, 8}};
  write_token_nll(temporary / "nll.safetensors", text, score);
  const SafetensorsFile file(InputFile(temporary / "nll.safetensors"));
  EXPECT_EQ(read<int64_t>(file, "ids"), (std::vector<int64_t>{0, 1, 2, 3, 4, 4, 5, 6, 7, 8}));
  EXPECT_EQ(read<float>(file, "nll"), score.token_nll);
}

}  // namespace
}  // namespace regroup::testing
