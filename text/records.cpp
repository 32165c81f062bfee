#include "regroup/text/records.h"

#include <nlohmann/json.hpp>

#include "json_records.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/text/text_buffer.h"
#include "regroup/text/text_source.h"

namespace regroup {

void read_records(const std::string& path,
                  const std::function<bool(const Json& record, const std::string& where)>& visit) {
  const std::string name = without_compression(path);
  const bool lines = name.ends_with(".jsonl") || name.ends_with(".ndjson");
  if (!lines && !name.ends_with(".json")) {
    InputFile{path};  // a folder, or no file at all, is not a matter of its name
    throw UnsupportedError({.code = "TEXT_KIND",
                            .message = "files of records must end in .jsonl or .json, or in one of "
                                       "these and .gz or .zst",
                            .path = path,
                            .hint = "write a Parquet or Arrow file as lines of JSON first: "
                                    "datasets.Dataset.to_json(\"test.jsonl\")"});
  }
  TextBuffer text(path);
  bool any = false;
  visit_json_records(text, lines, [&](const Json& record, const std::string& where) {
    any = true;
    return visit(record, where);
  });
  if (any) return;
  throw CheckpointError({.code = "TEXT_EMPTY",
                         .message = "must hold at least one record, found none",
                         .path = path,
                         .hint = "check that this is the right file"});
}

}  // namespace regroup
