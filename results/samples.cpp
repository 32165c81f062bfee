#include "regroup/results/samples.h"

#include <nlohmann/json.hpp>

#include "regroup/results/fields.h"

namespace regroup {

Json samples_json(const Samples& samples) {
  Json json = {{"format", kSamplesFormat}, {"samples", Json::array()}};
  for (const Sample& sample : samples) {
    Json continuations = Json::array();
    for (const Continuation& one : sample.continuations) {
      continuations.push_back(
          {{"role", one.role}, {"n_kv_heads", one.n_kv_heads}, {"text", one.text}});
    }
    json["samples"].push_back({{"prompt", sample.prompt}, {"continuations", continuations}});
  }
  return json;
}

Samples read_samples(const Json& json, const std::string& path) {
  require_format(json, kSamplesFormat, path);
  Samples samples;
  for (const Json& one : objects_in(json, "samples", path)) {
    Sample sample{.prompt = text_of(JsonFields(one, path), "prompt"), .continuations = {}};
    for (const Json& text : objects_in(one, "continuations", path)) {
      const JsonFields fields(text, path);
      sample.continuations.push_back({.role = text_of(fields, "role"),
                                      .n_kv_heads = count_of(fields, "n_kv_heads"),
                                      .text = text_of(fields, "text")});
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace regroup
