// The device that stands in for a GPU: what it refuses, what it counts, and a decoder on it.
#include "support/strict_device.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "model/decoder_tools.h"
#include "regroup/model/generate.h"
#include "regroup/model/transfer.h"

namespace regroup::testing {
namespace {

using at::Tensor;

class StrictDevice : public ::testing::Test {
  void SetUp() override {
    if (!other_device().is_privateuseone()) GTEST_SKIP() << "a GPU takes its place";
  }
};
using StrictDeviceDeathTest = StrictDevice;

Tensor counting(at::Device device) { return at::arange(6, at::kFloat).view({2, 3}).to(device); }

TEST_F(StrictDevice, ComputesAsTheCpuDoes) {
  const Tensor x = counting(strict_device());
  const Tensor view = x.t().narrow(0, 1, 2);  // columns 1 and 2
  view.mul_(10);
  EXPECT_TRUE(x.cpu().equal(at::tensor({0, 10, 20, 3, 40, 50}, at::kFloat).view({2, 3})));
  EXPECT_EQ(at::cat({x, x}, 1).sum().item<float>(), 246);
  EXPECT_TRUE(x.to(at::kBFloat16).device() == strict_device());
}

TEST_F(StrictDevice, RefusesOperandsOfTwoDevices) {
  const Tensor x = counting(strict_device());
  const Tensor host = counting(at::kCPU);
  EXPECT_THROW(x.add(host), c10::Error);
  EXPECT_THROW(host.add_(x), c10::Error);
  EXPECT_THROW(x.index_select(0, at::zeros({1}, at::kLong)), c10::Error);
  EXPECT_THROW(at::cat({x, host}), c10::Error);
  EXPECT_THROW(x.matmul(host.t()), c10::Error);
}

TEST_F(StrictDeviceDeathTest, ItsMemoryIsClosedToTheHost) {
  const Tensor x = counting(strict_device());
  EXPECT_DEATH(static_cast<volatile float*>(x.data_ptr())[0] = 1, "");
}

TEST_F(StrictDevice, CountsWhatTheHostWaitsFor) {
  const at::Device device = strict_device();
  const Tensor x = counting(device);
  take_waits();
  const Tensor y = x.mul(2).softmax(1);
  EXPECT_TRUE(take_waits().empty());
  y.sum().item<float>();
  EXPECT_EQ(take_waits(), std::vector<std::string>{"item"});
  y.cpu();
  EXPECT_EQ(take_waits(), std::vector<std::string>{"copy to the host"});
  counting(device);
  EXPECT_EQ(take_waits(), std::vector<std::string>{"copy from host memory"});
  y.equal(x);
  EXPECT_EQ(take_waits(), std::vector<std::string>{"aten::equal"});
}

TEST(Transfer, NeitherInNorManyScalarsOutWaitMoreThanOnce) {
  for (const at::Device device : devices()) {
    const Tensor host = counting(at::kCPU);
    take_waits();
    const Tensor x = to_device(host, device);
    EXPECT_TRUE(take_waits().empty());
    EXPECT_EQ(x.device(), device);
    EXPECT_EQ(read_scalars({x.sum(), x.max().to(at::kDouble)}), (std::vector<double>{15, 5}));
    EXPECT_LE(take_waits().size(), 1U);
  }
}

struct Passed {
  Tensor logits;
  std::vector<Tensor> gradients;
};

Passed pass(const std::string& folder, at::ScalarType dtype, at::Device device) {
  const Decoder decoder = load_folder(folder, dtype, device);
  for (const Tensor& p : decoder.parameters()) p.set_requires_grad(true);
  const Tensor ids = random_ids(2, 17, 64, 1).to(device);
  take_waits();
  const Tensor logits = decoder.logits(decoder.hidden(ids));
  logits.square().mean().backward();
  EXPECT_LE(take_waits().size(), 2U) << "the table of angles, on first use";
  Passed passed{logits.detach().cpu(), {}};
  for (const Tensor& p : decoder.parameters()) passed.gradients.push_back(p.grad().cpu());
  return passed;
}

// float64 has no kernels: both devices take the composite path, and agree to its rounding.
TEST(DeviceDecoder, LogitsAndGradientsAreThoseOfTheCpu) {
  const TinyModelSpec specs[] = {
      {.n_layers = 2, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16},
      {.model_type = "qwen2", .n_kv_heads = 2, .sliding_window = 5},
      {.model_type = "stablelm", .tie_word_embeddings = true, .attention_bias = true}};
  for (TinyModelSpec spec : specs) {
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "model", spec);
    for (const auto& [dtype, tolerance] :
         {std::pair(at::kDouble, 1e-12), {at::kFloat, 2e-5}, {at::kBFloat16, 0.1}}) {
      SCOPED_TRACE(c10::toString(dtype));
      const Passed wanted = pass(temporary / "model", dtype, at::kCPU);
      for (const at::Device device : devices()) {
        const Passed got = pass(temporary / "model", dtype, device);
        EXPECT_LT(relative_error(got.logits, wanted.logits), tolerance);
        for (size_t i = 0; i < wanted.gradients.size(); ++i) {
          EXPECT_LT(relative_error(got.gradients[i], wanted.gradients[i]), tolerance) << i;
        }
      }
    }
  }
}

// One wait a token: its id.
TEST(DeviceDecoder, GenerateWaitsForEveryTokenOnce) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {.n_kv_heads = 2});
  const std::vector<int32_t> prompt = {3, 1, 4, 1, 5};
  const auto run = [&](at::Device device, int64_t tokens) {
    const Decoder decoder = load_folder(temporary / "model", at::kFloat, device);
    take_waits();
    return generate(decoder, prompt, {.max_new_tokens = tokens});
  };
  EXPECT_EQ(run(other_device(), 20), run(at::kCPU, 20));
  if (!other_device().is_privateuseone()) GTEST_SKIP() << "waits are counted on the strict device";
  run(other_device(), 10);
  const size_t ten = take_waits().size();
  run(other_device(), 20);
  EXPECT_EQ(take_waits().size(), ten + 10);
}

}  // namespace
}  // namespace regroup::testing
