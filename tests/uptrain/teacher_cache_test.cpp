// The cache of a teacher's answers: what it holds, when it is used again, and when it is refused.
#include "teacher_cache.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/checkpoint/safetensors.h"
#include "support/expect_error.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

struct Cached {
  explicit Cached(const std::string& precision = "fp32") : f(precision) {
    write_tiny_model(f.folder / "teacher",
                     {.n_layers = 1,
                      .n_kv_heads = 4,
                      .dtype = precision == "bf16" ? Dtype::kBF16 : Dtype::kF32});
  }
  UptrainOptions into(const std::string& name) const {
    UptrainOptions o = f.into(name);
    o.teacher = f.folder / "teacher";
    o.teacher_cache = f.folder / "cache";
    o.teacher_top_k = 8;
    return o;
  }
  std::string file() const { return f.folder / "cache/teacher.safetensors"; }
  Fixture f;
};

// A cache is made for 8 steps of 4 samples of 16 tokens.
TEST(Cache, HoldsTheTeachersLikeliestTokens) {
  const Cached c;
  const UptrainOptions o = c.into("run");
  uptrain(o, {});
  const Decoder teacher = load_folder(o.teacher);
  const Dataset dataset(o.data, TokenFormat::kAuto, 16, 64, o.seed);
  const SafetensorsFile file{InputFile(c.file())};
  const auto& metadata = file.table().metadata;
  EXPECT_EQ(metadata.at("samples"), "32");
  const TeacherCacheKey key = {.teacher_sha256 = metadata.at("teacher_sha256"),
                               .data = dataset.fingerprint(),
                               .seed = o.seed,
                               .seq_len = 16,
                               .vocab_size = 64,
                               .top_k = 8,
                               .precision = "fp32",
                               .samples = 32};
  EXPECT_EQ(key.bytes(),
            32 * 16 * (8 * 4 + 4));  // 2 bytes each of probability and id, 4 of the rest
  const auto cache = TeacherCache::find(o.teacher_cache, key);
  ASSERT_NE(cache, nullptr);
  for (const int64_t first : {0, 13, 30}) {
    const TopKLogProbs got = cache->read(first, 2, at::kCPU);
    const at::Tensor ids = dataset.batch(first, 2).narrow(1, 0, 16).contiguous();
    const at::Tensor log_p = at::log_softmax(all_logits(teacher, ids).flatten(0, 1), 1);
    const auto [top, wanted] = log_p.topk(8, 1);
    EXPECT_TRUE(at::equal(got.ids.to(at::kLong), wanted)) << first;
    EXPECT_LT(at::sub(got.log_probs, top).abs().max().item<double>(), 0.003) << first;
    const at::Tensor mass = at::add(got.log_probs.exp().sum(1), got.log_tail.exp());
    EXPECT_LT(at::sub(mass, 1).abs().max().item<double>(), 1e-6) << first;
    const at::Tensor rest = at::rsub(top.exp().sum(1), 1).log();
    EXPECT_LT(at::sub(got.log_tail, rest).abs().max().item<double>(), 0.003) << first;
  }
}

// With every token kept a cached run differs from a live one by float16's rounding alone.
TEST(Cache, ACachedRunFollowsTheLiveOne) {
  for (const double temperature : {1.0, 2.0}) {
    const Cached c;
    UptrainOptions live = c.into("live");
    live.teacher_cache = "";
    live.teacher_top_k.reset();
    live.kl_weight = 0.5;
    live.temperature = temperature;
    const TrainResult wanted = uptrain(live, {});
    UptrainOptions cached = c.into("cached");
    cached.teacher_top_k = 64;
    cached.kl_weight = 0.5;
    cached.temperature = temperature;
    const TrainResult got = uptrain(cached, {});
    EXPECT_NEAR(got.kl.value(), wanted.kl.value(), 2e-3) << temperature;
    EXPECT_NEAR(got.val_loss.value(), wanted.val_loss.value(), 2e-3) << temperature;
    cached = c.into("eight");
    cached.teacher_cache = c.f.folder / "cache-of-eight";
    cached.temperature = temperature;
    EXPECT_LT(uptrain(cached, {}).kl.value(), wanted.kl.value() + 0.05);
  }
}

TEST(Cache, IsWrittenOnceAndTheSizeIsSaidBefore) {
  const Cached c;
  std::vector<std::string> said;
  bool there_already = false;
  TrainObserver observer;
  double flops = 0;
  observer.announced = [&](const std::string& text) {
    said.push_back(text);
    there_already = path_exists(c.file());
  };
  observer.started = [&](const RunFacts& facts) { flops = facts.flops_per_token; };
  uptrain(c.into("first"), observer);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_FALSE(there_already);
  EXPECT_EQ(said[0], fmt::format("teacher cache: writes 18 KiB to {}: 32 samples of 16 tokens, 8 "
                                 "ids each",
                                 c.f.folder / "cache"));
  const std::string bytes = read_file(c.file());
  EXPECT_FALSE(path_exists(c.file() + ".partial"));
  UptrainOptions again = c.into("again");  // a shorter run of another student and batch size
  again.batch_size = 2;
  again.micro_batch_size = 1;
  again.train = TrainScope::kKv;
  uptrain(again, observer);
  EXPECT_EQ(said.size(), 1u);
  EXPECT_EQ(read_file(c.file()), bytes);
  EXPECT_EQ(flops,
            training_flops_per_token(load_folder(again.model).config(), 16, TrainScope::kKv));
}

TEST(Cache, OfAnotherRunIsRefusedOrMadeAnew) {
  const Cached c;
  uptrain(c.into("first"), {});
  const std::string bytes = read_file(c.file());
  UptrainOptions other = c.into("other");
  other.seed = 5;
  other.teacher_top_k = 4;
  other.budget.steps = 9;
  const ErrorInfo error =
      expect_error<ConfigError>("TEACHER_CACHE_MISMATCH", [&] { uptrain(other, {}); });
  EXPECT_EQ(error.message,
            c.file() +
                ": was made for another run: seed (0, needed 5), top_k (8, needed 4), samples "
                "(32, needed 36)");
  EXPECT_FALSE(path_exists(other.out));
  EXPECT_EQ(read_file(c.file()), bytes);
  other.overwrite = true;
  uptrain(other, {});
  EXPECT_NE(read_file(c.file()), bytes);
  write_tiny_model(c.f.folder / "teacher", {.n_layers = 1, .n_kv_heads = 4, .seed = 9});
  other = c.into("third");
  other.seed = 5;
  other.teacher_top_k = 4;
  const ErrorInfo teacher =
      expect_error<ConfigError>("TEACHER_CACHE_MISMATCH", [&] { uptrain(other, {}); });
  EXPECT_TRUE(contains(teacher.message, "another run: teacher_sha256 ("));
}

TEST(Cache, StoppedWhileWritingLeavesNothing) {
  const Cached c;
  set_stop_signal(SIGTERM);
  EXPECT_THROW(uptrain(c.into("run"), {}), Error);
  set_stop_signal(0);
  EXPECT_FALSE(path_exists(c.file()));
  EXPECT_FALSE(path_exists(c.file() + ".partial"));
  EXPECT_FALSE(path_exists(c.f.folder / "run"));
}

TEST(Cache, ATruncatedFileIsAnError) {
  const Cached c;
  uptrain(c.into("first"), {});
  fs::resize_file(c.file(), fs::file_size(c.file()) - 5);
  EXPECT_THROW(uptrain(c.into("second"), {}), CheckpointError);
}

TEST(Cache, ResumesBitForBit) {
  for (const std::string precision : {"fp32", "bf16"}) {
    const Cached c(precision);
    uptrain(c.into("whole"), {});
    stop_after(c.into("stopped"), 3);
    uptrain(c.into("stopped"), {});
    EXPECT_EQ(step_lines(c.f.folder / "stopped"), step_lines(c.f.folder / "whole")) << precision;
    EXPECT_TRUE(read_tree(c.f.folder / "stopped/model") == read_tree(c.f.folder / "whole/model"));
  }
}

}  // namespace
}  // namespace regroup::testing
