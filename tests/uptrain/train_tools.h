#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "model/decoder_tools.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/text/token_file.h"
#include "regroup/uptrain/trainer.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {

/// A model, a token file that can be learnt, and a folder for runs.
struct Fixture {
  explicit Fixture(const std::string& precision = "fp32", at::Device device = at::kCPU) {
    write_tiny_model(folder / "parent",
                     {.n_layers = 1,
                      .n_kv_heads = 2,
                      .dtype = precision == "bf16" ? Dtype::kBF16 : Dtype::kF32});
    TokenFileWriter writer(folder / "train.bin", 64);
    std::vector<int32_t> ids;
    for (int i = 0; i < 700; ++i) ids.push_back(i * i % 13 + i % 3);
    writer.add(ids);
    writer.finish();
    options.model = folder / "parent";
    options.data = {folder / "train.bin"};
    options.valid = folder / "train.bin";
    options.budget.steps = 8;
    options.seq_len = 16;
    options.batch_size = 4;
    options.micro_batch_size = 2;
    options.learning_rate = 1e-2;
    options.warmup_steps = 2;
    options.eval_every = 3;
    options.precision = value_of<Precision>(precision, "precision");
    options.device = device.str();
    options.recipe_text = "[uptrain]\n";
  }
  UptrainOptions into(const std::string& name) const {
    UptrainOptions o = options;
    o.out = folder / name;
    return o;
  }

  TemporaryFolder folder;
  UptrainOptions options;
};

/// Step lines of metrics.jsonl without what the clock says.
inline std::vector<std::string> step_lines(const std::string& out) {
  std::vector<std::string> lines;
  std::istringstream text(read_file(out + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    Json object = Json::parse(line);
    if (!object.contains("loss")) continue;
    object.erase("tokens_per_s");
    object.erase("step_s");
    lines.push_back(object.dump());
  }
  return lines;
}

/// Runs until step `k` is done, then asks for a stop as SIGTERM would.
inline void stop_after(const UptrainOptions& options, int64_t k) {
  TrainObserver observer;
  observer.stepped = [k](const StepMetrics& m, int64_t) {
    if (m.step == k) set_stop_signal(SIGTERM);
  };
  try {
    uptrain(options, observer);
    ADD_FAILURE() << "the run was not stopped";
  } catch (const StoppedError& error) {
    EXPECT_EQ(static_cast<int>(error.exit_code()), 75);
  }
  set_stop_signal(0);
}

/// Name -> bytes of every tensor of a folder with one shard.
inline std::map<std::string, std::string> tensors_of(const std::string& folder) {
  const SafetensorsFile file{InputFile(folder + "/model.safetensors")};
  std::map<std::string, std::string> all;
  for (const TensorInfo& info : file.tensors()) {
    std::string bytes(static_cast<size_t>(info.bytes()), '\0');
    file.read(info, 0, std::as_writable_bytes(std::span(bytes)));
    all[info.name] = bytes;
  }
  return all;
}

}  // namespace regroup::testing
