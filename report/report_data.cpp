#include "report_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kinds/result_kind.h"
#include "kinds/untagged.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/results/fields.h"

namespace regroup {
namespace {

constexpr const char* kNoResults = "holds none of the results that a report is made of";

[[noreturn]] void refuse(const std::string& path, const std::string& message) {
  throw ConfigError({.code = "REPORT_INPUT",
                     .message = message,
                     .path = path,
                     .hint = "give the JSON of eval, bench, compare, plan, replay, convert or run, "
                             "results or samples of lm-evaluation-harness, a regroup.json, a "
                             "metrics.jsonl of uptrain, or a samples file"});
}

std::string read_text(const std::string& path) {
  const InputFile file(path);
  if (file.size() > kManifestJson.bytes) {
    throw CheckpointError({.code = "LIMIT_FILE_SIZE",
                           .message = fmt::format("must have at most {} bytes, found {}",
                                                  kManifestJson.bytes, file.size()),
                           .path = path});
  }
  return file.read_all();
}

/// Python writes NaN and Infinity into JSON, which knows neither: null, so that the other numbers are read.
std::string without_python_nan(const std::string& given) {
  const std::string_view text = given;
  if (text.find("NaN") == text.npos && text.find("Infinity") == text.npos) return given;
  std::string json;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = in_string && text[i] == '\\' && i + 1 < text.size();
    if (text[i] == '"') in_string = !in_string;
    const std::string_view rest = in_string ? std::string_view() : text.substr(i);
    size_t known = 0;
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (known == 0 && rest.starts_with(word)) known = word.size();
    }
    json += known > 0 ? "null" : std::string(text.substr(i, escape ? 2 : 1));
    i += known > 0 ? known - 1 : escape ? 1 : 0;
  }
  return json;
}

/// The kind that reads a tag, "regroup eval/1". @throws CheckpointError RESULT_FORMAT for another version of a kind
const ResultKind* tagged_kind(const std::string& tag, const std::string& path) {
  for (const ResultKind* kind : result_kinds()) {
    const std::string_view format = kind->format == nullptr ? "" : kind->format;
    if (format.empty()) continue;
    if (format == tag) return kind;
    const std::string_view name = format.substr(0, format.rfind('/') + 1);
    if (tag.starts_with(name)) refuse_format(tag, kind->format, path);
  }
  return nullptr;
}

/// The tag of the first line, where that is an object.
std::string format_of_lines(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const std::string_view line = text.substr(0, text.find('\n'));
  if (line.find("\"format\"") == line.npos) return {};  // most files are one line, and long
  return format_in(Json::parse(line, nullptr, /*allow_exceptions=*/false));
}

/// The kind of a file with an object in each line; nullptr for one that is JSON as a whole.
const ResultKind* lines_kind(std::string_view text, const std::string& path) {
  const std::string tag = format_of_lines(text);
  const ResultKind* kind = tag.empty() ? untagged_lines_kind(text) : tagged_kind(tag, path);
  return kind != nullptr && kind->add_lines != nullptr ? kind : nullptr;
}

/// Adds a file that is JSON as a whole, and says what it was.
const ResultKind& add_json(const std::string& text, const std::string& path, ReportData& data) {
  const Json json = parse_strict_json(without_python_nan(text), path, kManifestJson);
  if (!json.is_object()) refuse(path, kNoResults);
  const std::string tag = format_in(json);
  const ResultKind* kind = tagged_kind(tag, path);
  if (kind == nullptr && tag.starts_with("regroup")) {
    refuse(path, fmt::format("holds no results that a report is made of: its format is {}",
                             printable(tag, 60)));
  }
  if (kind == nullptr) kind = untagged_kind(json);
  if (kind == nullptr || kind->add == nullptr) refuse(path, kNoResults);
  kind->add(json, path, data);
  return *kind;
}

int role_rank(const std::string& role) {
  if (role == "baseline") return 0;
  if (role == "converted") return 2;
  return role == "uptrained" ? 3 : 1;
}

void sort_models(std::vector<ReportModel>& models) {
  std::stable_sort(models.begin(), models.end(), [](const ReportModel& a, const ReportModel& b) {
    const bool a_first = a.role == "baseline";
    const bool b_first = b.role == "baseline";
    if (a_first != b_first) return a_first;
    if (a.n_kv_heads != b.n_kv_heads) return a.n_kv_heads > b.n_kv_heads;
    return role_rank(a.role) < role_rank(b.role);
  });
}

}  // namespace

ReportData gather_report(const std::vector<std::string>& paths) {
  ReportData data;
  for (const std::string& given : paths) {
    throw_if_stopped(/*resumable=*/false);
    const std::string path = is_folder(given) ? given + "/" + kManifestName : given;
    if (path != given && !path_exists(path)) {
      refuse(given, fmt::format("must hold a {} when it is a folder, found none", kManifestName));
    }
    const std::string text = read_text(path);
    const std::string digest = sha256_of_text(text);
    const ResultKind* kind = lines_kind(text, path);
    // The harness names the model of its samples by their folder alone.
    const bool by_folder = kind == &kinds::answers;
    const auto same = [&](const ReportSource& source) {
      return source.sha256 == digest &&
             (!by_folder || parent_folder(source.path) == parent_folder(path));
    };
    if (std::any_of(data.sources.begin(), data.sources.end(), same)) continue;  // given twice
    if (kind == nullptr) {
      kind = &add_json(text, path, data);
    } else {
      kind->add_lines(without_python_nan(text), path, data);
    }
    data.sources.push_back({.path = path, .kind = kind->name, .sha256 = digest});
  }
  sort_models(data.models);
  name_answering_models(data);
  std::stable_sort(data.uptrainings.begin(), data.uptrainings.end(),
                   [](const auto& a, const auto& b) { return a.n_kv_heads > b.n_kv_heads; });
  return data;
}

std::string render_report(const ReportData& data, const std::string& out) {
  if (out.ends_with(".html")) return report_html(data);
  if (out.ends_with(".md")) return report_markdown(data);
  if (out.ends_with(".json")) return report_json(data);
  if (out.ends_with(".csv")) return report_csv(data);
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("`out` must end in .html, .md, .json or .csv, found {}",
                                            printable(out)),
                     .hint = "write a .html file: a browser prints it to other forms"});
}

}  // namespace regroup
