// What `bench` measured, in a report.
#include <gtest/gtest.h>

#include "report_files.h"

namespace regroup::testing {
namespace {

// Two models at two contexts: a chart with the roofline dashed, and a table.
const std::string kBench = R"({"format": "regroup bench/1", "version": "1",
 "machine": {"device": "cpu, 2 threads", "processor": "A processor", "threads": 2,
  "copy_bytes_per_s": 2e10, "read_bytes_per_s": 2.5e10, "flops_per_s": 1e11},
 "dtype": "f32", "new_tokens": 64, "repetitions": 5, "runs": [
 {"model": "parent", "n_kv_heads": 8, "batch": 1, "context": 512, "prefill_tokens_per_s": 1234.5,
  "decode_tokens_per_s": {"median": 10, "p10": 8.25, "p90": 12}, "kv_bytes_computed": 1048576,
  "kv_bytes_measured": 1048576, "bandwidth_fraction": 0.713, "bound": "memory",
  "roofline_tokens_per_s": 14, "speed_up": null},
 {"model": "parent", "n_kv_heads": 2, "batch": 1, "context": 512, "prefill_tokens_per_s": null,
  "decode_tokens_per_s": {"median": 15, "p10": 14, "p90": 16}, "kv_bytes_computed": 262144,
  "kv_bytes_measured": 262144, "bandwidth_fraction": 0.6, "bound": "compute",
  "roofline_tokens_per_s": 28, "speed_up": {"over": "parent", "n_kv_heads": 8, "measured": 1.5, "predicted": 2}},
 {"model": "parent", "n_kv_heads": 8, "batch": 1, "context": 2048, "prefill_tokens_per_s": null,
  "decode_tokens_per_s": {"median": 4321, "p10": 4000, "p90": 5000}, "kv_bytes_computed": 4194304,
  "kv_bytes_measured": 4194304, "bandwidth_fraction": 0.5, "bound": "memory",
  "roofline_tokens_per_s": 9, "speed_up": null}]})";

TEST(MeasuredSpeed, ShowsRatesTheirShareAndSpeedUps) {
  const ReportData data = Files().add("bench.json", kBench).gather();
  const std::string markdown = report_markdown(data);
  for (const char* part :
       {"Measured on A processor; cpu, 2 threads, computed and cached in f32.",
        "| 8 | 1 | 512 | 1,235 | 10.0 (8.2 to 12.0) | 1 MiB | 71 % (memory-bound) | – |\n",
        "| 2 | 1 | 512 | – | 15.0 (14.0 to 16.0) | 256 KiB | 60 % (compute-bound) | 1.50 x (2.00 x "
        "by the roofline) |\n",
        "| 8 | 1 | 2,048 | – | 4,321 (4,000 to 5,000) | 4 MiB | 50 % (memory-bound) | – |\n"}) {
    EXPECT_NE(markdown.find(part), std::string::npos) << part << "\n" << markdown;
  }
  const std::string html = report_html(data);
  EXPECT_NE(html.find("Decoding at a batch of 1"), std::string::npos);
  EXPECT_NE(html.find("8 KV heads, roofline"), std::string::npos);
  EXPECT_NE(report_csv(data).find("speed,\"parent batch 1\",,2,decode_tokens_per_s,512,15,"),
            std::string::npos)
      << report_csv(data);
  EXPECT_NE(report_json(data).find("\"roofline_tokens_per_s\": 28"), std::string::npos);
}

TEST(MeasuredSpeed, ModelsHaveTheirLabels) {
  std::string bench = kBench;
  const auto replace = [&](const std::string& what, const std::string& with) {
    for (size_t at = 0; (at = bench.find(what, at)) != std::string::npos; at += with.size()) {
      bench.replace(at, what.size(), with);
    }
  };
  replace(R"("model": "parent", "n_kv_heads": 8)", R"("model": "baseline-8", "n_kv_heads": 8)");
  replace(R"("model": "parent", "n_kv_heads": 2)", R"("model": "converted-4", "n_kv_heads": 4)");
  const std::string html = report_html(
      Files().add("bench.json", bench).add("eval.json", models({kBaseline, kConverted})).gather());
  EXPECT_NE(html.find(">before, 8 KV heads, roofline</text>"), std::string::npos);
  EXPECT_NE(html.find(">converted, 4 KV heads</text>"), std::string::npos);
  EXPECT_NE(html.find("medians of 320 steps"), std::string::npos) << "n of every point";
}

TEST(MeasuredSpeed, SaysWhyItIsAboveTheRoofline) {
  const auto text = [](std::string bench) {
    return report_markdown(Files().add("bench.json", bench).gather());
  };
  EXPECT_EQ(text(kBench).find("caches"), std::string::npos);
  std::string faster = kBench;
  faster.replace(faster.find("0.713"), 5, "1.713");
  EXPECT_NE(text(faster).find("read from the processor's caches"), std::string::npos);
}

}  // namespace
}  // namespace regroup::testing
