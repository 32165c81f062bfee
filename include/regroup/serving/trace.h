#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace regroup {

/// One request of a trace. Traces have millions of them: 24 bytes, without padding.
struct TraceRequest {
  double arrival_s = 0;  ///< since the first request
  int32_t prompt_tokens = 0;
  int32_t output_tokens = 0;
  uint32_t first_block = 0;  ///< in Trace::blocks
  uint32_t n_blocks = 0;
};
static_assert(sizeof(TraceRequest) == 24);

/// What a server was asked for, by rising arrival.
struct Trace {
  std::vector<TraceRequest> requests;
  std::vector<uint64_t> blocks;  ///< hashes of prompts' blocks, all requests; empty: not known
  int64_t shortened = 0;         ///< requests that were made up and cut to MadeTrace::max_tokens
  int64_t unordered = 0;         ///< requests that stood behind a later one in the file

  std::span<const uint64_t> blocks_of(const TraceRequest& request) const {
    return std::span(blocks).subspan(request.first_block, request.n_blocks);
  }
};

/// How a file of requests is read. Empty names: those of the Azure LLM inference traces (TIMESTAMP, ContextTokens,
/// GeneratedTokens) and of Mooncake's (timestamp in milliseconds, input_length, output_length, hash_ids).
struct TraceColumns {
  std::string time;
  std::string prompt;
  std::string output;
  std::string
      time_unit;  ///< of times that are numbers: "s", "ms", "us", "ns"; "": Mooncake's ms, else s
};

/// Tokens that a hash of a prompt's block stands for in Mooncake's traces.
inline constexpr int64_t kTraceBlockTokens = 512;

/// XXH3-128 of everything in a trace: equal traces give equal results.
std::string trace_digest(const Trace& trace);

/// Reads a .csv with a heading, or a .jsonl, either packed with gzip or zstd or not. Requests in no order are sorted and
/// counted.
/// @throws CheckpointError  TRACE_COLUMN, TRACE_VALUE (with the line), TRACE_EMPTY, TRACE_LIMIT, TEXT_*, JSON_*
///         UnsupportedError TEXT_KIND
Trace read_trace(const std::string& path, const TraceColumns& columns = {});

/// Requests as many users send them who know nothing of each other, their lengths lognormal.
struct MadeTrace {
  int64_t requests = 10'000;
  double rate = 1;  ///< requests a second
  double burstiness =
      1;  ///< shape of the gaps' gamma distribution: 1 is Poisson, less comes in bursts
  double prompt_mean = 1'024;
  double output_mean = 256;
  double spread = 1;       ///< sigma of the logarithm of lengths
  int64_t max_tokens = 0;  ///< of prompt and output together, at least 2; 0: any
  uint64_t seed = 0;
};
Trace make_trace(const MadeTrace& settings);

/// The trace as a .csv that read_trace() reads: time_s,prompt_tokens,output_tokens
std::string trace_csv(const Trace& trace);

}  // namespace regroup
