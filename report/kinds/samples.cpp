// Texts that models continued.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"

namespace regroup {
namespace {

void add(const Json& json, const std::string& path, ReportData& data) {
  for (Sample& sample : read_samples(json, path)) data.samples.push_back(std::move(sample));
}

Json sample_json(const Sample& sample) {
  Json json = {{"prompt", sample.prompt}, {"continuations", Json::array()}};
  for (const Continuation& text : sample.continuations) {
    json["continuations"].push_back(
        {{"role", text.role}, {"n_kv_heads", text.n_kv_heads}, {"text", text.text}});
  }
  return json;
}

Json json(const ReportData& data) { return list_json(data.samples, sample_json); }

}  // namespace

const ResultKind kinds::samples{
    .name = "samples", .format = kSamplesFormat, .add = add, .key = "samples", .json = json};

}  // namespace regroup
