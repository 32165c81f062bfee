// The four threads that bytes of a conversion pass through. Without LibTorch, so that TSan sees all of it.
#include "writing/stream.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "regroup/base/input_file.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/convert/plan.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

/// Three shards of some chunks each.
const TinyModelSpec kModel = {
    .hidden_size = 256, .intermediate_size = 1024, .vocab_size = 4096, .n_shards = 3};

/// Copies every shard of `model` through the threads, a row block at a time; `skip` leaves out what the
/// reader must then catch up with.
std::vector<std::string> copy_shards(const ModelFolder& model, const std::string& out, bool skip) {
  ChunkPool pool;
  SourceReader source(model, pool);
  WorkThread hashing;
  WorkThread writing;
  for (size_t i = 0; i < model.shards().size(); ++i) {
    const TensorFile& shard = *model.shards()[i];
    std::vector<TensorSpec> specs;
    int64_t bytes = 0;
    for (const TensorInfo& tensor : shard.tensors()) {
      specs.push_back({tensor.name, tensor.dtype, tensor.shape});
      bytes += tensor.bytes();
    }
    const std::string prefix = make_safetensors_prefix(specs, {{"format", "pt"}});
    const std::string path = out + model.shard_names()[i];
    ShardWriter writer(path, prefix, static_cast<int64_t>(prefix.size()) + bytes, pool, hashing,
                       writing);
    for (const TensorInfo& tensor : shard.tensors()) {
      for (int64_t at = 0; at < tensor.bytes(); at += 300000) {
        const int64_t n = std::min<int64_t>(300000, tensor.bytes() - at);
        writer.write(source.read(tensor.name, at, n));
        if (skip && n > 1000) source.read(tensor.name, at + n / 2, n / 2);  // out of order
      }
      writer.end_tensor();
    }
    const std::string sha256 = writer.finish();
    EXPECT_EQ(sha256, sha256_of_file(path));
    const SafetensorsFile copy{InputFile(path)};
    for (const TensorInfo& tensor : shard.tensors()) {
      std::string wanted(static_cast<size_t>(tensor.bytes()), '\0');
      std::string got = wanted;
      shard.read(tensor, 0, std::as_writable_bytes(std::span(wanted)));
      copy.read(*copy.find(tensor.name), 0, std::as_writable_bytes(std::span(got)));
      EXPECT_TRUE(got == wanted) << tensor.name;
    }
  }
  return source.finish();
}

TEST(Stream, BytesAndDigestsOfEveryShard) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", kModel);
  const ModelFolder model = ModelFolder::open(temporary / "in");
  for (const bool skip : {false, true}) {
    const std::vector<std::string> digests = copy_shards(model, temporary / "", skip);
    for (size_t i = 0; i < digests.size(); ++i) {
      EXPECT_EQ(digests[i], sha256_of_file(temporary / "in" + "/" + model.shard_names()[i]));
    }
  }
}

TEST(Stream, WorkIsDoneInOrderUntilSomeOfItThrows) {
  WorkThread thread;
  std::vector<int> done;
  for (int i = 0; i < 100; ++i) thread.push([&done, i] { done.push_back(i); });
  thread.drain();
  ASSERT_EQ(done.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[static_cast<size_t>(i)], i);
  thread.push([] { throw std::runtime_error("disk full"); });
  EXPECT_THROW(thread.drain(), std::runtime_error);
  thread.push([&done] { done.push_back(-1); });
  thread.drain();
  EXPECT_EQ(done.back(), -1);
}

TEST(Stream, AFailedShardLeavesNothingBehindThatStillRuns) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", kModel);
  const ModelFolder model = ModelFolder::open(temporary / "in");
  ChunkPool pool;
  SourceReader source(model, pool);
  WorkThread hashing;
  WorkThread writing;
  for (int i = 0; i < 20; ++i) {
    // Dropped half way, as by an exception: its chunks are still queued.
    ShardWriter writer(temporary / ("out" + std::to_string(i)), "prefix", 4 << 20, pool, hashing,
                       writing);
    for (int j = 0; j < 8; ++j) writer.write(pool.get(100000));
  }
}

TEST(Stream, AConversionThroughAllOfThem) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "in", kModel);
  const ModelFolder model = ModelFolder::open(temporary / "in");
  for (const char* dtype : {"keep", "bf16"}) {
    const ConvertOptions options = {.model = temporary / "in",
                                    .out = temporary / dtype,
                                    .n_kv_heads = 2,
                                    .method = Method::kMean,
                                    .dtype = dtype,
                                    .max_shard_bytes = 4 << 20};
    const ConvertResult result =
        execute_conversion(model, plan_conversion(model, options), options, {});
    EXPECT_GT(result.digests.size(), 3U);
    for (const auto& [file, sha256] : result.digests) {
      EXPECT_EQ(sha256, sha256_of_file(options.out + "/" + file)) << file;
    }
    EXPECT_EQ(ModelFolder::open(options.out).config().n_kv_heads, 2);
  }
}

}  // namespace
}  // namespace regroup::testing
