// Whole runs on a device that is no CPU: the CPU's losses, gradients and weights, and one wait a step.
#include <ATen/ops/norm.h>
#include <ATen/ops/sub.h>

#include <algorithm>

#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

/// Loss, gradient norm and parts of the loss of every step, and the validation losses.
struct Recorded {
  std::vector<std::vector<double>> steps;
  std::vector<std::vector<std::string>> waits;  ///< from the end of a step to the end of the next
  std::map<std::string, at::Tensor> weights;
};

Recorded run(const UptrainOptions& options) {
  Recorded seen;
  TrainObserver observer;
  observer.started = [](const RunFacts&) { take_waits(); };
  observer.stepped = [&](const StepMetrics& m, int64_t) {
    seen.steps.push_back(
        {m.loss, m.grad_norm, m.ce.value_or(0), m.kl.value_or(0), m.val_loss.value_or(0)});
    seen.waits.push_back(take_waits());
  };
  uptrain(options, observer);
  for (const NamedWeight& w : load_folder(options.out + "/model").named_weights()) {
    seen.weights[w.name] = w.view.clone();
  }
  return seen;
}

using Settings = std::function<void(UptrainOptions&)>;

/// A teacher of other weights: from the model itself gradients would be rounding alone.
std::string another_model(const UptrainOptions& options) {
  const std::string folder = options.out + ".teacher";
  write_tiny_model(folder,
                   {.n_layers = 1,
                    .n_kv_heads = 2,
                    .dtype = options.precision == Precision::kBf16 ? Dtype::kBF16 : Dtype::kF32,
                    .seed = 2});
  return folder;
}

struct Case {
  const char* name;
  Settings set;
};

const Case kCases[] = {
    {"cross-entropy", [](UptrainOptions&) {}},
    {"activation checkpointing", [](UptrainOptions& o) { o.activation_checkpointing = true; }},
    {"clipped", [](UptrainOptions& o) { o.adamw.clip_grad_norm = 0.1; }},
    {"keys and values alone",
     [](UptrainOptions& o) {
       o.train = TrainScope::kKv;
       o.kv_lr_scale = 4;
     }},
    {"teacher", [](UptrainOptions& o) { o.teacher = another_model(o); }},
    {"teacher and next token",
     [](UptrainOptions& o) {
       o.teacher = another_model(o);
       o.kl_weight = 0.5;
       o.temperature = 2;
     }},
    {"teacher's cache",
     [](UptrainOptions& o) {
       o.teacher = another_model(o);
       o.teacher_cache = o.out + ".cache";
       o.teacher_top_k = 8;
     }},
};

void expect_near(const Recorded& got, const Recorded& wanted, double tolerance) {
  ASSERT_EQ(got.steps.size(), wanted.steps.size());
  for (size_t i = 0; i < got.steps.size(); ++i) {
    for (size_t j = 0; j < got.steps[i].size(); ++j) {
      EXPECT_NEAR(got.steps[i][j], wanted.steps[i][j],
                  tolerance * (1 + std::abs(wanted.steps[i][j])))
          << "step " << i + 1 << ", number " << j;
    }
  }
}

/// By the length of the difference: Adam turns a gradient of rounding alone into a step of full size.
void expect_near_weights(const Recorded& got, const Recorded& wanted, double tolerance) {
  ASSERT_EQ(got.weights.size(), wanted.weights.size());
  for (const auto& [name, weight] : wanted.weights) {
    const double off = got.weights.at(name).sub(weight).norm().item<double>();
    EXPECT_LE(off, tolerance * weight.norm().item<double>()) << name;
  }
}

class DeviceRun : public ::testing::TestWithParam<const char*> {};

TEST_P(DeviceRun, EqualsTheCpu) {
  const double tolerance = GetParam() == std::string("bf16") ? 0.03 : 2e-4;
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.name);
    Recorded wanted;
    for (const at::Device device : devices()) {
      const Fixture fixture(GetParam(), device);
      UptrainOptions options = fixture.into("run");
      one.set(options);
      const Recorded got = run(options);
      if (device.is_cpu()) {
        wanted = got;
      } else {
        expect_near(got, wanted, tolerance);
        expect_near_weights(got, wanted, tolerance);
      }
    }
  }
}

// Two micro-batches a step; the first step also makes the table of angles.
TEST_P(DeviceRun, AStepWaitsOnce) {
  if (!other_device().is_privateuseone()) GTEST_SKIP() << "waits are counted on the strict device";
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.name);
    const Fixture fixture(GetParam(), strict_device());
    UptrainOptions options = fixture.into("run");
    options.valid.clear();
    options.eval_every = 0;
    one.set(options);
    const Recorded seen = run(options);
    for (size_t i = 1; i < seen.waits.size(); ++i) {
      EXPECT_EQ(seen.waits[i], std::vector<std::string>{"copy to the host"}) << "step " << i + 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, DeviceRun, ::testing::Values("fp32", "bf16"));

}  // namespace
}  // namespace regroup::testing
