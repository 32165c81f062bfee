// Layers that measure nothing: block-expanded and pruned models have them. Every method converts them, with
// text and without, and what gave nothing gives nothing.
#include <algorithm>

#include "convert/calibration_fixture.h"
#include "convert/convert_tools.h"
#include "regroup/checkpoint/manifest.h"
#include "regroup/convert/method.h"

namespace regroup::testing {
namespace {

const TinyModelSpec kSpec = {.n_heads = 4, .n_kv_heads = 4, .head_dim = 8, .hidden_size = 32};

/// What is wrong with the weights of a model.
struct Degenerate {
  const char* name;
  std::vector<std::string> zeroed;  ///< tensors, by a part of their name
  int64_t dead_head = -1;           ///< of layer 1
  bool equal_tokens = false;        ///< in the embedding
  int64_t distinct_kv_heads = 0;
};

const Degenerate kKinds[] = {
    {"no values", {"layers.1.self_attn.v_proj"}},
    {"no output", {"layers.1.self_attn.o_proj"}},
    {"no queries", {"layers.1.self_attn.q_proj"}},
    {"no keys", {"layers.1.self_attn.k_proj"}},
    {"no attention", {"layers.1.self_attn."}},
    {"no attention at all", {".self_attn."}},
    {"no inputs", {"layers.1.input_layernorm"}},
    {"nothing at all", {"embed_tokens"}},
    {"a dead head", {}, 2},
    {"one kind of token", {}, -1, true},
    {"equal heads", {}, -1, false, 1},
};

/// Sets the rows, or for o_proj the columns, of a head to zero.
void silence(TensorData& tensor, int64_t head) {
  const int64_t d = kSpec.head_dim;
  const bool columns = tensor.spec.name.find("o_proj") != std::string::npos;
  const int64_t width = tensor.spec.shape[1];
  auto* p = reinterpret_cast<float*>(tensor.bytes.data());
  for (int64_t row = 0; row < tensor.spec.shape[0]; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      if ((columns ? column : row) / d == head) p[row * width + column] = 0;
    }
  }
}

std::vector<TensorData> tensors_of(const Degenerate& kind) {
  TinyModelSpec spec = kSpec;
  spec.distinct_kv_heads = kind.distinct_kv_heads;
  std::vector<TensorData> tensors = tiny_tensors(spec);
  for (TensorData& tensor : tensors) {
    const std::string& name = tensor.spec.name;
    for (const std::string& part : kind.zeroed) {
      if (name.find(part) != std::string::npos) std::ranges::fill(tensor.bytes, '\0');
    }
    if (kind.dead_head >= 0 && name.find("layers.1.self_attn") != std::string::npos) {
      silence(tensor, kind.dead_head);
    }
    if (!kind.equal_tokens || name != "model.embed_tokens.weight") continue;
    const std::string row = tensor.bytes.substr(0, static_cast<size_t>(kSpec.hidden_size) * 4);
    for (size_t at = 0; at < tensor.bytes.size(); at += row.size()) {
      tensor.bytes.replace(at, row.size(), row);
    }
  }
  return tensors;
}

class DegenerateLayers : public CalibrationTest {
 protected:
  void convert_all(const Degenerate& kind, bool text) {
    prepare(kSpec, 1024);
    write_tensors(at("in"), tensors_of(kind), 1);
    for (const std::string& method : method_names()) {
      if (text && method == "random") continue;
      SCOPED_TRACE(method);
      ConvertOptions o = options(method);
      o.method = parse_method(method);
      o.grouping =
          method == "random" || method == "prune" ? Grouping::kContiguous : Grouping::kResidual;
      if (!text) o.calibration = {};
      o.calibration.layer_steps = 3;
      o.output.overwrite = true;
      ASSERT_NO_THROW(run(o));
      const at::Tensor logits = all_logits(load_folder(at(method)), random_ids(1, 17, kVocab, 7));
      ASSERT_TRUE(logits.isfinite().all().item<bool>());
      expect_silence(kind, method, text);
      EXPECT_EQ(verify_folder(at(method), at("in")).problems, std::vector<std::string>{});
    }
  }

 private:
  /// Values and outputs that were zero stay zero.
  void expect_silence(const Degenerate& kind, const std::string& method, bool text) {
    const std::string name = kind.name;
    if (name != "no values" && name != "no output") return;
    if (method == "random" && name == "no values") return;
    const bool values = name == "no values";
    const std::vector<double> after =
        stored_values(at(method), values ? "model.layers.1.self_attn.v_proj.weight"
                                         : "model.layers.1.self_attn.o_proj.weight");
    EXPECT_TRUE(std::ranges::all_of(after, [](double x) { return x == 0; })) << text;
  }
};

TEST_F(DegenerateLayers, AreConvertedWithoutText) {
  for (const Degenerate& kind : kKinds) {
    SCOPED_TRACE(kind.name);
    convert_all(kind, false);
  }
}

TEST_F(DegenerateLayers, AreConvertedWithText) {
  for (const Degenerate& kind : kKinds) {
    SCOPED_TRACE(kind.name);
    convert_all(kind, true);
  }
}

}  // namespace
}  // namespace regroup::testing
