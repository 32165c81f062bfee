#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "regroup/report/report.h"
#include "support/temporary_folder.h"

namespace regroup::testing {

/// What eval writes for one model; `more` are further metrics, as JSON members.
inline std::string model_json(const std::string& role, int64_t heads, double loss,
                              const std::string& more) {
  return fmt::format(
      R"({{"results": {{"valid": {{"alias": "valid", "loss,none": {}, "loss_stderr,none": 0.018,
 "tokens": 19999{}}}}},
 "configs": {{"valid": {{"seq_len": 256}}}}, "n-samples": {{"valid": {{"effective": 79}}}},
 "config": {{"model_dtype": "f32"}}, "model_name": "{}-{}",
 "regroup": {{"version": "0.1.0", "libtorch": "2.11.0", "role": "{}", "architecture": "Llama",
 "n_layers": 5, "n_heads": 8, "n_kv_heads": {}, "n_params": 1000, "kv_bytes_per_token": {},
 "digest": "d{}{}"}}}})",
      loss, more, role, heads, role, heads, 320 * heads, role, heads);
}

inline std::string delta(double value, double error) {
  return fmt::format(R"(, "loss_delta,none": {}, "loss_delta_stderr,none": {})", value, error);
}
inline std::string recovery(double value, double error) {
  return fmt::format(R"(, "recovery,none": {}, "recovery_stderr,none": {})", value, error);
}

inline const std::string kBaseline = model_json("baseline", 8, 1.387, delta(0, 0));
inline const std::string kConverted = model_json("converted", 4, 3.15, delta(1.763, 0.02));
inline const std::string kUptrained =
    model_json("uptrained", 4, 1.51, delta(0.123, 0.004) + recovery(0.931, 0.006));
inline const std::string kMetrics =
    R"({"event":"start","step":0,"model":"c","n_kv_heads":4,"n_params":9,"teacher":"p","tokens_per_step":2048,"steps":300}
{"step":1,"tokens":2048,"loss":3.5,"lr":0.1,"grad_norm":1,"tokens_per_s":10,"step_s":0.5}
{"event":"checkpoint","step":1}
{"step":300,"tokens":614400,"loss":1.5,"lr":0.1,"grad_norm":1,"tokens_per_s":10,"step_s":0.25,"val_loss":1.6}
)";

inline std::string models(const std::vector<std::string>& all) {
  std::string text;
  for (const std::string& one : all) text += (text.empty() ? "" : ",\n") + one;
  return "{\"models\": [" + text + "]}\n";
}

/// A folder of result files.
class Files {
 public:
  /// @param name  may hold folders
  Files& add(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path((*folder_) / name).parent_path());
    paths_.push_back(folder_->write(name, text));
    return *this;
  }
  ReportData gather() const { return gather_report(paths_); }
  std::string verdict() const { return report_verdict(gather()).at(0); }
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  std::shared_ptr<TemporaryFolder> folder_ = std::make_shared<TemporaryFolder>();
  std::vector<std::string> paths_;
};

inline Files full() {
  Files files;
  files.add("eval.json", models({kBaseline, kConverted, kUptrained}))
      .add("metrics.jsonl", kMetrics);
  return files;
}

}  // namespace regroup::testing
