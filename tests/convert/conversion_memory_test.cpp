// A conversion streams: its memory does not grow with the checkpoint.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>

#include "convert/convert_tools.h"
#include "convert/forked.h"
#include "regroup/checkpoint/safetensors.h"

namespace regroup::testing {
namespace {

/// A model of zeros whose files take no room on the disk.
void write_sparse_model(const std::string& folder, const TinyModelSpec& spec) {
  std::filesystem::create_directories(folder);
  write_file(folder + "/config.json", tiny_config(spec));
  const ModelConfig config = parse_model_config(tiny_config(spec), "config.json");
  std::vector<TensorSpec> specs;
  int64_t bytes = 0;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    specs.push_back({tensor.name, spec.dtype, tensor.shape});
    bytes += tensor_bytes(spec.dtype, tensor.shape);
  }
  const std::string prefix = make_safetensors_prefix(specs, {{"format", "pt"}});
  write_file(folder + "/model.safetensors", prefix);
  std::filesystem::resize_file(folder + "/model.safetensors",
                               prefix.size() + static_cast<size_t>(bytes));
}

// 4 layers of hidden 4096 with 32 heads of 128: 4 (4 x 4096^2 + 3 x 4096 x 8192) + 2 x 4096 x 8192
// = 738 million bf16 values, 1.48 GB; the largest tensor has 67 MB, in float64 268 MB.
TEST(ConversionMemory, PeakStaysBelow300MB) {
  const TinyModelSpec spec{.n_layers = 4,
                           .n_heads = 32,
                           .n_kv_heads = 32,
                           .head_dim = 128,
                           .hidden_size = 4096,
                           .intermediate_size = 8192,
                           .vocab_size = 8192,
                           .dtype = Dtype::kBF16};
  const TemporaryFolder temporary;
  write_sparse_model(temporary / "in", spec);
  ASSERT_GT(std::filesystem::file_size(temporary / "in/model.safetensors"), 1'000'000'000u);
  EXPECT_EQ(run_forked([&] { convert(temporary / "in", temporary / "out", 8); }).exit_code, 0);
  rusage usage = {};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  std::printf("peak memory: %ld MB\n", usage.ru_maxrss / 1000);
  EXPECT_LT(usage.ru_maxrss, 300'000);
  EXPECT_EQ(ModelFolder::open(temporary / "out").config().n_kv_heads, 8);
}

}  // namespace
}  // namespace regroup::testing
