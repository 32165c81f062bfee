#include <stdexcept>
#include <string>

#include "fuzz/targets.h"
#include "regroup/base/error.h"
#include "regroup/checkpoint/config.h"
#include "written_family.h"

namespace regroup::testing {
namespace {

/// What a conversion writes of an accepted config must be read again, with the heads and the dtype asked for.
void check_rewritten(const ModelConfig& config, const std::string& text) {
  std::string written;
  try {
    written =
        rewrite_config(written_family(config, "config.json"),
                       rename_class(config, text, "config.json"), 1, "float16", "config.json");
  } catch (const UnsupportedError&) {
    return;  // the class that could hold it does not fit
  }
  ModelConfig again;
  try {
    again = parse_model_config(written, "config.json");
  } catch (const Error& error) {
    throw std::logic_error(std::string("the rewritten config is refused: ") + error.what());
  }
  const bool same = again.n_kv_heads == 1 && again.dtype == "float16" &&
                    again.n_heads == config.n_heads && again.head_dim == config.head_dim &&
                    again.rotary_dim == config.rotary_dim && again.rope.theta == config.rope.theta;
  if (!same) throw std::logic_error("the rewritten config is another model");
}

void check_config(const ModelConfig& config) {
  const auto layers = static_cast<size_t>(config.n_layers);
  const bool fits = config.sliding_layers.size() == layers &&
                    (config.turned_layers.empty() || config.turned_layers.size() == layers) &&
                    config.rotary_dim <= config.head_dim &&
                    config.n_heads % config.n_kv_heads == 0 && longest_context(config) >= 1;
  if (!fits) throw std::logic_error("the config contradicts itself");
}

}  // namespace

int fuzz_config(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  ModelConfig config;
  try {
    config = parse_model_config(text, "config.json");
  } catch (const Error&) {
    return 0;
  }
  check_config(config);
  check_rewritten(config, text);
  return 0;
}

}  // namespace regroup::testing
