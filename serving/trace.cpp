#include "regroup/serving/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "csv_reader.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/text/records.h"
#include "regroup/text/text_source.h"
#include "trace_time.h"

namespace regroup {
namespace {

constexpr double kMaxTokens = 1 << 30;
constexpr double kMaxSpan = 1e10;          // seconds; 300 years
constexpr size_t kMaxBlocks = UINT32_MAX;  // 34 GB of hashes
constexpr int64_t kRowsToLook = 4096;      // after so many the number of all is estimated

// The first that a file has is taken.
constexpr auto kTimes =
    std::to_array<std::string_view>({"TIMESTAMP", "timestamp", "time_s", "arrival_s"});
constexpr auto kPrompts = std::to_array<std::string_view>(
    {"ContextTokens", "input_length", "prompt_tokens", "num_prompt_tokens"});
constexpr auto kOutputs = std::to_array<std::string_view>(
    {"GeneratedTokens", "output_length", "output_tokens", "completion_tokens"});

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint) {
  throw CheckpointError({.code = code, .message = message, .path = path, .hint = hint});
}

/// Where a request stands in its file: put into words only where it is refused.
struct RequestPlace {
  std::string_view record;  ///< "FILE line 3"; "": `line` says it
  int64_t line = 0;
  std::string text() const {
    return record.empty() ? fmt::format("line {}", line) : std::string(record);
  }
};

/// Collects requests in the order of the file.
class Requests {
 public:
  Requests(std::string path, std::string unit) : path_(std::move(path)), unit_(std::move(unit)) {}

  /// How many there are likely to be: a vector that doubles needs three times its memory.
  void expect(int64_t requests) { trace_.requests.reserve(static_cast<size_t>(requests)); }

  /// @param time  a number or a date; "" where there is none
  void add(const RequestPlace& where, std::string_view time, std::string_view prompt,
           std::string_view output) {
    TraceRequest request;
    request.arrival_s = read_time(where, time);
    request.prompt_tokens = read_tokens(where, "prompt", prompt, 1);
    request.output_tokens = read_tokens(where, "output", output, 0);
    request.first_block = static_cast<uint32_t>(trace_.blocks.size());
    if (request.arrival_s < last_s_) ++trace_.unordered;
    last_s_ = std::max(last_s_, request.arrival_s);
    trace_.requests.push_back(request);
  }

  /// Hashes of the last request's blocks.
  void add_blocks(const RequestPlace& where, const Json& ids) {
    if (!ids.is_array()) refuse_value(where, "hash_ids", "an array of numbers", ids.dump());
    for (const Json& id : ids) {
      if (!id.is_number_integer()) refuse_value(where, "hash_ids", "whole numbers", id.dump());
      trace_.blocks.push_back(id.get<uint64_t>());
    }
    if (trace_.blocks.size() > kMaxBlocks) {
      refuse("TRACE_LIMIT", path_,
             fmt::format("must have at most {} hash_ids, found more up to {}", kMaxBlocks,
                         where.text()),
             "give a part of the trace");
    }
    trace_.requests.back().n_blocks = static_cast<uint32_t>(ids.size());
  }

  Trace take() {
    if (trace_.requests.empty()) {
      refuse("TRACE_EMPTY", path_, "must hold at least one request, found none",
             "check that this is the right file");
    }
    const auto earlier = [](const TraceRequest& a, const TraceRequest& b) {
      return a.arrival_s < b.arrival_s;
    };
    if (trace_.unordered > 0) {
      std::stable_sort(trace_.requests.begin(), trace_.requests.end(), earlier);
    }
    const double first = trace_.requests.front().arrival_s;
    if (trace_.requests.back().arrival_s - first > kMaxSpan) {
      refuse("TRACE_VALUE", path_,
             fmt::format("times must lie within {:g} s, found {:g} to {:g}", kMaxSpan, first,
                         trace_.requests.back().arrival_s),
             "name the unit of the times with --trace-time-unit");
    }
    for (TraceRequest& request : trace_.requests) request.arrival_s -= first;
    return std::move(trace_);
  }

 private:
  [[noreturn]] void refuse_value(const RequestPlace& where, const char* what,
                                 const std::string& rule, std::string_view found) const {
    refuse("TRACE_VALUE", path_,
           fmt::format("{} of {} must be {}, found {}", what, where.text(), rule,
                       found.empty() ? "nothing" : printable(std::string(found), 60)),
           "correct or remove that request");
  }

  double read_time(const RequestPlace& where, std::string_view text) {
    const auto number = parse_number(text);
    const auto time = number ? std::optional(*number * seconds_of_unit()) : parse_date_time(text);
    if (!time) {
      refuse_value(where, "the time", "a number or a date such as 2023-11-16 18:17:03.97", text);
    }
    if (!trace_.requests.empty() && is_date_ != !number) {
      refuse_value(where, "the time", is_date_ ? "a date as above it" : "a number as above it",
                   text);
    }
    is_date_ = !number;
    return *time;
  }

  int32_t read_tokens(const RequestPlace& where, const char* what, std::string_view text,
                      double min) const {
    const auto value = parse_number(text);
    if (!value || *value < min || *value > kMaxTokens || *value != std::floor(*value)) {
      refuse_value(where, what, fmt::format("a number of tokens from {} to 2^30", min), text);
    }
    return static_cast<int32_t>(*value);
  }

  double seconds_of_unit() const {
    if (unit_ == "ms") return 1e-3;
    if (unit_ == "us") return 1e-6;
    if (unit_ == "ns") return 1e-9;
    return 1;
  }

  std::string path_;
  std::string unit_;
  Trace trace_;
  double last_s_ = -INFINITY;
  bool is_date_ = false;
};

/// Which of `names` the file has: the one asked for, or the first known one.
std::string choose(const std::vector<std::string>& names, const std::string& asked,
                   std::span<const std::string_view> known, const char* what,
                   const std::string& path) {
  const auto has = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (!asked.empty() && has(asked)) return asked;
  if (asked.empty()) {
    const auto found = std::find_if(known.begin(), known.end(), has);
    if (found != known.end()) return std::string(*found);
  }
  const std::string found = printable(join(names, ", "), 300);
  if (!asked.empty()) {
    throw ConfigError({.code = "TRACE_COLUMN",
                       .message = fmt::format("must have the column {} for the {}, found {}",
                                              printable(asked), what, found),
                       .path = path,
                       .hint = "name a column that the file has"});
  }
  refuse("TRACE_COLUMN", path,
         fmt::format("must have one of {} for the {}, found {}",
                     join({known.begin(), known.end()}, ", "), what, found),
         "name the columns with --trace-time, --trace-prompt and --trace-output");
}

struct Chosen {
  std::string time;
  std::string prompt;
  std::string output;
};

Chosen choose_all(const std::vector<std::string>& names, const TraceColumns& columns,
                  const std::string& path) {
  return {choose(names, columns.time, kTimes, "time of arrival", path),
          choose(names, columns.prompt, kPrompts, "tokens of the prompt", path),
          choose(names, columns.output, kOutputs, "tokens of the output", path)};
}

Trace read_csv(const std::string& path, const TraceColumns& columns) {
  CsvReader reader(path);
  std::vector<std::string> fields;
  if (!reader.next(fields)) return Requests(path, "").take();
  const std::vector<std::string> names = fields;
  const Chosen chosen = choose_all(names, columns, path);
  const auto place = [&](const std::string& name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  const size_t time = place(chosen.time);
  const size_t prompt = place(chosen.prompt);
  const size_t output = place(chosen.output);
  Requests requests(path, columns.time_unit);
  const bool packed = without_compression(path) != path;
  const int64_t first_row = reader.offset();
  for (int64_t rows = 0; reader.next(fields); ++rows) {
    if (rows == kRowsToLook && !packed) {
      const int64_t row_bytes = (reader.offset() - first_row) / kRowsToLook;
      requests.expect(InputFile(path).size() / std::max<int64_t>(row_bytes, 1) * 102 / 100);
    }
    const auto field = [&](size_t at) {
      return at < fields.size() ? std::string_view(fields[at]) : std::string_view();
    };
    requests.add({.line = reader.line()}, field(time), field(prompt), field(output));
  }
  return requests.take();
}

std::string as_text(const Json& record, const std::string& key) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : found->dump();
}

Trace read_jsonl(const std::string& path, const TraceColumns& columns) {
  std::optional<Chosen> chosen;
  std::optional<Requests> requests;
  read_records(path, [&](const Json& record, const std::string& where) {
    if (!record.is_object()) {
      refuse("TRACE_VALUE", path,
             fmt::format("{} must be an object, found {}", where, record.type_name()),
             "write one object a line");
    }
    if (!chosen) {
      std::vector<std::string> names;
      for (const auto& [name, value] : record.items()) names.push_back(name);
      chosen = choose_all(names, columns, path);
      const bool mooncake = chosen->time == "timestamp" && record.contains("input_length");
      const std::string unit = mooncake ? "ms" : "s";
      requests.emplace(path, columns.time_unit.empty() ? unit : columns.time_unit);
    }
    const RequestPlace place{.record = where};
    requests->add(place, as_text(record, chosen->time), as_text(record, chosen->prompt),
                  as_text(record, chosen->output));
    const auto ids = record.find("hash_ids");
    if (ids != record.end() && !ids->is_null()) requests->add_blocks(place, *ids);
    return true;
  });
  return requests->take();  // a file without a record was refused
}

}  // namespace

std::string trace_digest(const Trace& trace) {
  Xxh3 digest;
  digest.update(std::as_bytes(std::span(trace.requests)));
  digest.update(std::as_bytes(std::span(trace.blocks)));
  return digest.hex();
}

Trace read_trace(const std::string& path, const TraceColumns& columns) {
  if (without_compression(path).ends_with(".csv")) return read_csv(path, columns);
  return read_jsonl(path, columns);
}

}  // namespace regroup
