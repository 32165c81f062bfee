#include "config_support.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

/// "LlamaForCausalLM" -> "LlamaModel"
std::string base_class(const ModelFamily& family) {
  const std::string name(family.architecture);
  return name.substr(0, name.rfind("ForCausalLM")) + "Model";
}

[[noreturn]] void unsupported(const char* code, const std::string& path, const std::string& message,
                              std::string_view hint = {}) {
  constexpr std::string_view kUsual =
      "README.md lists what is supported; nothing else is guessed at";
  throw UnsupportedError({.code = code,
                          .message = message,
                          .path = path,
                          .hint = std::string(hint.empty() ? kUsual : hint)});
}

/// What of `family`'s refused keys the config says.
void refuse_keys(const JsonFields& fields, const ModelFamily& family) {
  const auto says = [&](std::string_view key, bool value) {
    return !key.empty() && fields.boolean(std::string(key).c_str()) == value;
  };
  for (const RefusedKey& refused : family.refused_keys) {
    if (!says(refused.key, refused.refused) || says(refused.unless, true)) continue;
    unsupported("CFG_UNSUPPORTED", fields.path(),
                fmt::format("{} must be {}, found {}: {}, which is not supported", refused.key,
                            !refused.refused, refused.refused, refused.why),
                refused.hint);
  }
}

void refuse_architecture(const JsonFields& fields, const ModelFamily& family) {
  const Json* names = fields.find("architectures");
  if (names == nullptr) return;
  const bool one = names->is_array() && names->size() == 1 && (*names)[0].is_string();
  const std::string name = one ? (*names)[0].get<std::string>() : std::string();
  // A tied model without its head is whole all the same.
  const bool tied =
      fields.boolean("tie_word_embeddings").value_or(family.defaults.tie_word_embeddings);
  if (name == family.architecture || (tied && name == base_class(family))) return;
  RefusedName refused = {};
  for (const RefusedName& other : family.refused_architectures) {
    if (other.name == name) refused = other;
  }
  unsupported("CFG_UNSUPPORTED", fields.path(),
              fmt::format("architectures must be [\"{}\"] for model_type \"{}\", found {}{}{}",
                          family.architecture, family.model_type, printable(names->dump()),
                          refused.why.empty() ? "" : ": ", refused.why),
              refused.hint);
}

/// What a multimodal config has in place of a language model's keys; "" for another config.
std::string inner_model(const JsonFields& fields) {
  for (const char* key : {"text_config", "llm_config", "language_config"}) {
    const Json* inner = fields.find(key);
    if (inner == nullptr || !inner->is_object()) continue;
    const Json type = inner->value("model_type", Json());
    return fmt::format("it is a multimodal model; save its language model ({}{}) alone", key,
                       type.is_string() ? ", " + printable(type.get<std::string>()) : "");
  }
  return {};
}

}  // namespace

void refuse_config(const char* code, const std::string& path, const std::string& message,
                   const std::string& hint) {
  throw CheckpointError({.code = code, .message = message, .path = path, .hint = hint});
}

const ModelFamily* read_family(const JsonFields& fields) {
  const auto model_type = fields.string("model_type");
  if (!model_type && inner_model(fields).empty()) {
    throw CheckpointError({.code = "CFG_MISSING_KEY",
                           .message = "must hold \"model_type\"",
                           .path = fields.path(),
                           .hint = "correct the file, or fetch it again"});
  }
  const ModelFamily* family = find_family(model_type.value_or(""));
  if (family == nullptr) {
    std::string why(why_refused(model_type.value_or("")));
    if (why.empty()) why = inner_model(fields);
    std::vector<std::string> known;
    for (const ModelFamily* f : model_families()) known.emplace_back(f->model_type);
    unsupported("CFG_UNSUPPORTED", fields.path(),
                fmt::format("model_type \"{}\" is not supported{}{}; supported: {}",
                            printable(model_type.value_or("")), why.empty() ? "" : ": ", why,
                            join(known, ", ")));
  }
  return family;
}

void refuse_unsupported(const JsonFields& fields, const ModelFamily& family) {
  const std::string& path = fields.path();
  const Json* quantization = fields.find("quantization_config");
  if (quantization == nullptr) quantization = fields.find("quantization");  // of mlx_lm
  if (quantization != nullptr) {
    const auto method =
        quantization->is_object() ? quantization->value("quant_method", Json()) : Json();
    unsupported("CFG_QUANTIZED", path,
                fmt::format("quantized weights (quantization_config, method {}) are not supported",
                            printable(method.dump())),
                "convert the unquantized model, then quantize the result");
  }
  refuse_keys(fields, family);
  refuse_architecture(fields, family);
}

Activation read_activation(const JsonFields& fields, const ModelFamily& family) {
  const ActivationName& usual = family.activations.front();
  const auto given = fields.string(std::string(family.keys.activation).c_str());
  if (!given) return usual.activation;
  const auto found =
      std::find_if(family.activations.begin(), family.activations.end(),
                   [&](const ActivationName& known) { return known.name == *given; });
  if (found != family.activations.end()) return found->activation;
  unsupported("CFG_UNSUPPORTED", fields.path(),
              fmt::format("{} must be \"{}\" for {}, found \"{}\"", family.keys.activation,
                          usual.name, family.architecture, printable(*given)));
}

}  // namespace regroup
