#include "regroup/uptrain/metrics.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"

namespace regroup {
namespace {

/// The lines of an earlier run that stay: whole ones, up to `last_step`.
std::string kept_lines(const std::string& text, int64_t last_step) {
  std::string kept;
  for (size_t start = 0; start < text.size();) {
    const size_t stop = text.find('\n', start);
    if (stop == std::string::npos) break;  // torn
    const std::string line = text.substr(start, stop - start);
    start = stop + 1;
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || object.value("step", INT64_MAX) > last_step) continue;
    kept += line + "\n";
  }
  return kept;
}

}  // namespace

MetricsFile::MetricsFile(const std::string& path, int64_t last_step) : path_(path) {
  if (path_exists(path)) {
    write_file_atomically(path, kept_lines(InputFile(path).read_all(), last_step));
  }
  file_ = std::fopen(path.c_str(), "ae");
  if (file_ == nullptr) throw_output_error(errno, "open", path);
}

MetricsFile::~MetricsFile() { std::fclose(file_); }

void MetricsFile::step(const StepMetrics& metrics) { line(to_json(metrics)); }

void MetricsFile::event(const std::string& name, int64_t step, const Json& facts) {
  Json object = {{"event", name}, {"step", step}};
  object.update(facts);
  line(object);
}

void MetricsFile::line(const Json& object) {
  const std::string text = object.dump() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_) == text.size();
  if (!written || std::fflush(file_) != 0) throw_output_error(errno, "write", path_);
}

}  // namespace regroup
