#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace regroup::testing {

using OrderedJson = nlohmann::ordered_json;

/// A tokenizer.json of byte-level BPE with a handful of tokens: a 0, b 1, space 2, ab 3, " ab" 4, newline 5; "<|end|>" 6 is
/// special, "<tool>" 7 is not.
inline OrderedJson tiny_tokenizer_json() {
  return OrderedJson::parse(R"({
    "added_tokens": [
      {"id": 6, "content": "<|end|>", "special": true, "normalized": false},
      {"id": 7, "content": "<tool>", "special": false, "normalized": false}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE",
      "vocab": {"a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4, "\u010a": 5},
      "merges": [["a", "b"], ["\u0120", "ab"]]}})");
}

/// A post_processor that puts a token in front of a text.
inline OrderedJson front_template(const std::string& token, int id) {
  return {{"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", token}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
          {"special_tokens", {{token, {{"id", token}, {"ids", {id}}, {"tokens", {token}}}}}}};
}

}  // namespace regroup::testing
