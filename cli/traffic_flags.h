#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "regroup/serving/trace.h"
#include "served_model_flags.h"

namespace regroup {

/// Requests, and the server that answers them: what `replay` simulates.
struct TrafficFlags {
  ServedModelFlags served;
  std::string trace;  ///< "": made up
  TraceColumns columns;
  double rate_scale = 1;
  MadeTrace made;
  std::string reserve;
  std::string bandwidth;
  std::string flops;
  double efficiency = 1;
  double step_overhead_ms = 0;
  int64_t block_size = 16;
  int64_t max_sequences = 256;
  int64_t max_step_tokens = 8192;
  std::string max_context;
  bool prefix_caching = false;
  double max_ttft_ms = 0;
  double max_tpot_ms = 0;
  double gpu_price = 0;
};

void add_trace_flags(CLI::App& command, TrafficFlags& flags);
/// But those of the devices: add_device_flags().
void add_server_flags(CLI::App& command, TrafficFlags& flags);

}  // namespace regroup
