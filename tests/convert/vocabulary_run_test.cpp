// What layers read where there is no text: tokens of the vocabulary, run through the parent.
#include "vocabulary_run.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "convert/convert_tools.h"
#include "model/decoder_tools.h"
#include "regroup/base/uniform_stream.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/convert/calibration_sizes.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

using at::Tensor;

const TinyModelSpec kPlain{.n_layers = 2, .dtype = Dtype::kBF16};

/// The same tokens through float32 layers, whose kernels are others: [windows, seq, hidden] before each layer.
std::vector<Tensor> streams_in_float(const ModelFolder& model, uint64_t seed) {
  const ModelConfig& config = model.config();
  const int64_t seq = config.max_positions < kVocabularyWindow ? 64 : kVocabularyWindow;
  Tensor ids = at::empty({kVocabularyTokens / seq, seq}, at::kLong);
  UniformStream random(seed, "vocabulary");
  for (int64_t i = 0; i < ids.numel(); ++i) {
    ids.data_ptr<int64_t>()[i] =
        static_cast<int64_t>(random.next_bits() % static_cast<uint64_t>(config.vocab_size));
  }
  const Tensor table = at::empty({config.vocab_size, config.hidden_size}, at::kFloat);
  load_weight(model, "model.embed_tokens.weight", table);
  std::vector<Tensor> streams{at::embedding(table, ids)};
  const RopeTables rope = make_rope_tables(config, seq, seq, at::kCPU);
  for (int64_t layer = 0; layer + 1 < config.n_layers; ++layer) {
    const LayerWeights w = load_layer(model, layer, at::kFloat, at::kCPU);
    const Tensor& x = streams.back();
    const Tensor heads =
        attention_heads(config, w, layer, norm(x, w.input_norm, config.norm_eps), rope);
    const Tensor middle = x.add(project(heads, w.output, w.output_bias));
    streams.push_back(middle.add(mlp_output(config, w, norm(middle, w.mlp_norm, config.norm_eps))));
  }
  return streams;
}

TEST(VocabularyRun, MomentsAreThoseOfTheNormedStreamBeforeEachLayer) {
  const c10::NoGradGuard no_gradients;
  for (const char* family : {"llama", "qwen2", "stablelm"}) {
    TinyModelSpec spec = kPlain;
    spec.model_type = family;
    if (spec.model_type == "llama") spec.max_positions = 100;  // windows of 64
    if (spec.model_type == "qwen2") spec.dtype = Dtype::kF16;
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "in", spec);
    const ModelFolder model = ModelFolder::open(temporary / "in");
    VocabularyRun run(model, 3);
    const std::vector<Tensor> streams = streams_in_float(model, 3);
    for (int64_t layer = 0; layer < spec.n_layers; ++layer) {
      const LayerWeights w = load_layer(model, layer, at::kDouble, at::kCPU);
      const Tensor moment = run.next(layer, w).moment;
      const Tensor y =
          norm(streams[static_cast<size_t>(layer)],
               load_layer(model, layer, at::kFloat, at::kCPU).input_norm, model.config().norm_eps)
              .to(at::kDouble)
              .reshape({-1, spec.hidden_size});
      const Tensor expected = y.t().matmul(y).div(static_cast<double>(kVocabularyTokens));
      const Tensor found = moment.narrow(0, 0, spec.hidden_size).narrow(1, 0, spec.hidden_size);
      EXPECT_LE(relative_error(found, expected), 1e-5) << family << ", layer " << layer;
      const Tensor mean = moment.select(0, spec.hidden_size).narrow(0, 0, spec.hidden_size);
      EXPECT_LE(relative_error(mean, y.mean(0)), 1e-4) << family << ", layer " << layer;
    }
  }
}

TEST(VocabularyRun, RowsOfTheEmbeddingThatAreNotFiniteAreNotDrawn) {
  const TemporaryFolder temporary;
  std::vector<double> table = tiny_values({}, "model.embed_tokens.weight", {64, 32});
  table[7] = std::numeric_limits<double>::quiet_NaN();  // token 0
  write_model_with(temporary / "in", {}, {{"model.embed_tokens.weight", table}});
  const ModelFolder model = ModelFolder::open(temporary / "in");
  const LayerWeights w = load_layer(model, 0, at::kDouble, at::kCPU);
  EXPECT_TRUE(VocabularyRun(model, 0).next(0, w).moment.isfinite().all().item<bool>());
  for (double& value : table) value = table[7];
  write_model_with(temporary / "none", {}, {{"model.embed_tokens.weight", table}});
  const ErrorInfo all = expect_error<CheckpointError>(
      "CALIBRATION_NONFINITE", [&] { VocabularyRun(ModelFolder::open(temporary / "none"), 0); });
  EXPECT_TRUE(all.message.find("embed_tokens") != std::string::npos) << all.message;
}

TEST(VocabularyRun, ActivationsThatAreNotFiniteAreRefusedByLayer) {
  const TemporaryFolder temporary;
  std::vector<double> table(64 * 32, 1e38);
  write_model_with(temporary / "in", {}, {{"model.embed_tokens.weight", table}});
  const ModelFolder model = ModelFolder::open(temporary / "in");
  LayerWeights w = load_layer(model, 0, at::kDouble, at::kCPU);
  w.down.fill_(1e300);
  w.mlp_norm.weight.fill_(1e300);
  VocabularyRun run(model, 0);
  run.next(0, w);
  const ErrorInfo error =
      expect_error<CheckpointError>("CALIBRATION_NONFINITE", [&] { run.next(1, w); });
  EXPECT_TRUE(error.message.find("before layer 1") != std::string::npos) << error.message;
}

/// A layer whose heads agree on the channels that embeddings have, and on no other.
std::string heads_that_agree_where_it_matters(const TemporaryFolder& temporary) {
  const TinyModelSpec spec{.n_layers = 1};
  std::map<std::string, std::vector<double>> given;
  const int64_t hidden = spec.hidden_size;
  std::vector<double> table =
      tiny_values(spec, "model.embed_tokens.weight", {spec.vocab_size, hidden});
  for (size_t i = 0; i < table.size(); ++i) {
    if (static_cast<int64_t>(i) % hidden >= hidden / 2) table[i] = 0;
  }
  given["model.embed_tokens.weight"] = table;
  for (const char* name : {"k_proj.weight", "v_proj.weight"}) {
    std::vector<double> rows =
        tiny_values(spec, in_layer_0(name), {spec.n_kv_heads * spec.head_dim, hidden});
    const auto of_a_head = static_cast<size_t>(spec.head_dim * hidden);
    for (size_t i = of_a_head; i < rows.size(); ++i) {
      if (static_cast<int64_t>(i) % hidden < hidden / 2) {
        rows[i] = rows[i % of_a_head];
      } else {
        rows[i] *= 10;  // what weights alone take for the most of a head
      }
    }
    given[in_layer_0(name)] = rows;
  }
  write_model_with(temporary / "in", spec, given);
  return temporary / "in";
}

TEST(VocabularyRun, TellsPcaWhichChannelsThereAre) {
  const TemporaryFolder temporary;
  const std::string model = heads_that_agree_where_it_matters(temporary);
  const at::Tensor ids = random_ids(2, 19, 64, 3);
  const auto damage = [&](Method method) {
    const ConvertOptions options{.model = model,
                                 .out = temporary / "out",
                                 .n_kv_heads = 1,
                                 .method = method,
                                 .grouping = Grouping::kContiguous,
                                 .output = {.overwrite = true}};
    plan_and_convert(ModelFolder::open(model), options, {});
    return relative_error(all_logits(load_folder(options.out), ids),
                          all_logits(load_folder(model), ids));
  };
  EXPECT_LE(damage(Method::kPca), 2e-5);
  EXPECT_GE(damage(Method::kAlign), 1e-2);  // by weights alone
}

TEST(VocabularyRun, ThreadsDoNotShowInTheBytes) {
  const TemporaryFolder temporary;
  write_tiny_model(
      temporary / "in",
      {.n_layers = 3, .n_heads = 8, .n_kv_heads = 8, .hidden_size = 72, .dtype = Dtype::kBF16});
  const auto digest = [&](int threads, const std::string& out) {
    at::set_num_threads(threads);
    const ConvertOptions options{
        .model = temporary / "in", .out = temporary / out, .n_kv_heads = 2, .method = Method::kPca};
    return plan_and_convert(ModelFolder::open(options.model), options, {}).second.digests;
  };
  const int before = at::get_num_threads();
  EXPECT_EQ(digest(1, "one"), digest(2, "two"));
  at::set_num_threads(before);
}

}  // namespace
}  // namespace regroup::testing
