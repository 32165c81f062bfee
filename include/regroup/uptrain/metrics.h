#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "regroup/base/strict_json.h"
#include "regroup/results/training_log.h"

namespace regroup {

/// metrics.jsonl: one object a line, flushed, numbers printed so that they read back exactly.
class MetricsFile {
 public:
  /// Opens for appending after cutting a torn last line and every line beyond `last_step`: a resumed
  /// run writes those again.
  MetricsFile(const std::string& path, int64_t last_step);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  void step(const StepMetrics& metrics);
  /// {"event": name, "step": step, ...facts}
  void event(const std::string& name, int64_t step, const Json& facts);

 private:
  void line(const Json& object);
  std::string path_;
  std::FILE* file_;
};

/// TensorBoard's event files: TFRecord framing around Event messages.
class TensorBoardWriter {
 public:
  /// @param first_step  the first step to come; TensorBoard drops what older files hold from it on
  /// @throws OutputError, as do the other functions
  TensorBoardWriter(const std::string& folder, int64_t first_step);
  void scalar(const std::string& tag, double value, int64_t step);
  void flush();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void record(const std::string& event);
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace regroup
