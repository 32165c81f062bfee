#include "regroup/text/records.h"

#include <nlohmann/json.hpp>

#include "json_records.h"
#include "parquet/parquet_records.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/text/text_buffer.h"
#include "regroup/text/text_source.h"

namespace regroup {
namespace {

using VisitRecord = std::function<bool(const Json& record, const std::string& where)>;

void read_json_records(const std::string& path, const VisitRecord& visit) {
  const std::string name = without_compression(path);
  const bool lines = name.ends_with(".jsonl") || name.ends_with(".ndjson");
  if (!lines && !name.ends_with(".json")) {
    static_cast<void>(InputFile(path));  // a folder, or no file at all, is not a matter of its name
    throw UnsupportedError({.code = "TEXT_KIND",
                            .message = "files of records must end in .jsonl, .json or .parquet, or "
                                       "in one of the first two and .gz or .zst",
                            .path = path,
                            .hint = "write an Arrow file as lines of JSON first: "
                                    "datasets.Dataset.to_json(\"test.jsonl\")"});
  }
  TextBuffer text(path);
  visit_json_records(text, lines, visit);
}

}  // namespace

void read_records(const std::string& path, const VisitRecord& visit) {
  bool any = false;
  const VisitRecord counted = [&](const Json& record, const std::string& where) {
    any = true;
    return visit(record, where);
  };
  if (path.ends_with(".parquet")) {
    parquet::visit_records(path,
                           [&](const parquet::Row& row) { return counted(row.record, row.where); });
  } else {
    read_json_records(path, counted);
  }
  if (any) return;
  throw CheckpointError({.code = "TEXT_EMPTY",
                         .message = "must hold at least one record, found none",
                         .path = path,
                         .hint = "check that this is the right file"});
}

}  // namespace regroup
