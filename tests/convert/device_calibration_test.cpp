// Calibration on a device that is no CPU: the CPU's layers, and no wait in the inner loops of a layer.
#include <ATen/ops/empty.h>

#include "calibrated_layer.h"
#include "convert/calibration_fixture.h"
#include "layer_training.h"
#include "output_refit.h"

namespace regroup::testing {
namespace {

using at::Tensor;

class DeviceCalibration : public CalibrationTest {
 protected:
  ConvertOptions on(at::Device device, const std::string& out) const {
    ConvertOptions by = options(out);
    by.calibration.device = device.str();
    return by;
  }
  static void expect_near(const ConversionPlan& got, const ConversionPlan& wanted) {
    ASSERT_EQ(got.layers.size(), wanted.layers.size());
    for (size_t i = 0; i < got.layers.size(); ++i) {
      const LayerReport& a = got.layers[i];
      const LayerReport& b = wanted.layers[i];
      EXPECT_EQ(a.order, b.order);
      EXPECT_NEAR(a.key_residual, b.key_residual, 1e-4);
      EXPECT_NEAR(a.value_residual, b.value_residual, 1e-4);
      EXPECT_EQ(a.closed.has_value(), b.closed.has_value());
      EXPECT_NEAR(a.closed.value_or(0), b.closed.value_or(0), 1e-3);
      EXPECT_NEAR(a.refitted.value_or(0), b.refitted.value_or(0), 1e-3);
      EXPECT_NEAR(a.trained.value_or(0), b.trained.value_or(0), 3e-3);
    }
  }
};

TEST_F(DeviceCalibration, AllStagesEqualTheCpu) {
  TinyModelSpec biased = kDifferentHeads;
  biased.attention_bias = true;
  for (const TinyModelSpec& spec : {kDifferentHeads, biased}) {
    prepare(spec);
    for (const bool scratch : {false, true}) {
      ConversionPlan wanted;
      for (const at::Device device : devices()) {
        const std::string out = "out";
        ConvertOptions by = on(device, out);
        by.output.overwrite = true;
        if (scratch) by.calibration.scratch = at("");
        const ConversionPlan got = run(by);
        if (device.is_cpu()) {
          wanted = got;
        } else {
          expect_near(got, wanted);
        }
      }
    }
  }
}

TEST_F(DeviceCalibration, GainsEqualTheCpu) {
  prepare(kDifferentHeads);
  ConversionPlan wanted;
  for (const at::Device device : devices()) {
    ConvertOptions by = on(device, "out");
    by.output.overwrite = true;
    by.calibration.refit_output = false;
    by.calibration.layer_steps = 0;
    by.calibration.save_statistics = at("statistics");
    const ConversionPlan got = run(by);
    if (device.is_cpu()) wanted = got;
    EXPECT_EQ(got.gains.logit, wanted.gains.logit);
    EXPECT_EQ(got.gains.output, wanted.gains.output);
    expect_near(got, wanted);
  }
}

// Twice the windows and twice the steps: as many waits, but for one a look at held-out windows.
TEST_F(DeviceCalibration, InnerLoopsDoNotWait) {
  if (!other_device().is_privateuseone()) GTEST_SKIP() << "waits are counted on the strict device";
  const auto waits = [&](int64_t tokens, int64_t steps) {
    ConvertOptions by = on(strict_device(), "out");
    by.output.overwrite = true;
    by.calibration.tokens = tokens;
    by.calibration.layer_steps = steps;
    take_waits();
    const ConversionPlan plan = run(by);
    size_t looks = 0;
    for (const LayerReport& layer : plan.layers) {
      looks += static_cast<size_t>(layer.steps * kLooksAtHeldOut / steps);
    }
    return take_waits().size() - looks;
  };
  prepare(kDifferentHeads);
  const size_t few = waits(2048, 24);
  EXPECT_EQ(waits(4096, 24), few);
  EXPECT_EQ(waits(4096, 48), few);
}

// The layer's arithmetic on the meta device: shapes, dtypes, and no value looked at.
TEST_F(DeviceCalibration, ALayerOnTheMetaDevice) {
  prepare(kDifferentHeads);
  const ModelConfig config = ModelFolder::open(at("in")).config();
  const LayerWeights w = allocate_layer(config, 0, at::kFloat, at::kMeta);
  const Tensor x =
      at::empty({2, 32, config.hidden_size}, at::TensorOptions(at::kFloat).device(at::kMeta));
  const RopeTables rope = make_rope_tables(config, 32, 32, at::kMeta);
  EXPECT_TRUE(through_layer(config, w, 0, x, rope).is_meta());
  const Tensor heads = attention_heads(config, w, 0, x, rope);
  EXPECT_EQ(heads.size(2), config.query_size());
  MomentAccumulator moments(config.hidden_size);
  moments.add(x);
  OutputRefit refit(config.query_size(), config.hidden_size, at::kMeta);
  refit.add(heads, x, x, x.narrow(2, 0, 1));
  EXPECT_EQ(moments.tokens(), 64);
}

}  // namespace
}  // namespace regroup::testing
