#pragma once

#include <gtest/gtest.h>

#include "convert/convert_tools.h"
#include "model/decoder_tools.h"
#include "regroup/base/digest.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/convert/plan.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {

inline constexpr int64_t kVocab = 64;

inline void write_tokens(const std::string& path, int64_t count) {
  const at::Tensor ids = random_ids(1, count, kVocab, 11);
  TokenFileWriter writer(path, kVocab);
  const std::vector<int32_t> narrow(ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + count);
  writer.add(narrow);
  writer.finish();
}

/// A model of `spec` in "in", tokens in "text.bin", and how to convert it.
class CalibrationTest : public ::testing::Test {
 protected:
  void prepare(const TinyModelSpec& spec, int64_t tokens = 4096) {
    write_tiny_model(at("in"), spec);
    write_tokens(at("text.bin"), tokens);
  }
  std::string at(const std::string& name) const { return temporary_ / name; }

  ConvertOptions options(const std::string& out) const {
    return {.model = at("in"),
            .out = at(out),
            .n_kv_heads = 2,
            .method = Method::kPca,
            .grouping = Grouping::kResidual,
            .calibration = {.files = {at("text.bin")},
                            .seq_len = 32,
                            .layer_steps = 24,
                            .step_tokens = 2048,
                            .distill_steps = 0}};
  }
  ConversionPlan run(const ConvertOptions& options,
                     const CalibrationProgress& progress = {}) const {
    return plan_and_convert(ModelFolder::open(options.model), options, {{}, progress}).first;
  }
  static CalibrationProgress killed_at_layer(int64_t layer) {
    return {.starts = {}, .moved = [layer](const CalibrationStatus& s) {
              if (s.layer == layer) throw std::runtime_error("killed");
            }};
  }
  double damage(const std::string& out) const {
    const at::Tensor ids = random_ids(3, 32, kVocab, 5);
    return relative_error(all_logits(load_folder(at(out)), ids),
                          all_logits(load_folder(at("in")), ids));
  }
  /// Compared by digest: a difference is named, not printed.
  void expect_same_files(const std::string& a, const std::string& b) const {
    for (const char* name : {"model.safetensors", "config.json", "regroup.json"}) {
      EXPECT_EQ(sha256_of_file(at(a) + "/" + name), sha256_of_file(at(b) + "/" + name)) << name;
    }
  }

 private:
  TemporaryFolder temporary_;
};

inline const TinyModelSpec kDifferentHeads = {
    .n_layers = 3, .n_heads = 6, .n_kv_heads = 6, .head_dim = 8, .hidden_size = 40};

}  // namespace regroup::testing
