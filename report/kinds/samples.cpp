// Texts that models continued.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

bool matches(const Json& file) { return has_field(file, "samples", Json::value_t::array); }

void add(const Json& json, const std::string& path, ReportData& data) {
  for (const Json& one : objects_in(json, "samples", path)) {
    ReportSample sample{.prompt = text_of(JsonFields(one, path), "prompt"), .continuations = {}};
    for (const Json& text : objects_in(one, "continuations", path)) {
      const JsonFields fields(text, path);
      sample.continuations.push_back({.role = text_of(fields, "role"),
                                      .n_kv_heads = count_of(fields, "n_kv_heads"),
                                      .text = text_of(fields, "text")});
    }
    data.samples.push_back(std::move(sample));
  }
}

Json sample_json(const ReportSample& sample) {
  Json json = {{"prompt", sample.prompt}, {"continuations", Json::array()}};
  for (const ReportContinuation& text : sample.continuations) {
    json["continuations"].push_back(
        {{"role", text.role}, {"n_kv_heads", text.n_kv_heads}, {"text", text.text}});
  }
  return json;
}

Json json(const ReportData& data) { return list_json(data.samples, sample_json); }

}  // namespace

const ResultKind kinds::samples{
    .name = "samples", .matches = matches, .add = add, .key = "samples", .json = json};

}  // namespace regroup
