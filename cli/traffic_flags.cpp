#include "traffic_flags.h"

#include "flag_values.h"

namespace regroup {

void add_trace_flags(CLI::App& command, TrafficFlags& flags) {
  command
      .add_option("--trace", flags.trace,
                  "Requests: Azure's .csv, Mooncake's .jsonl, or a log of yours; left out: made up")
      ->type_name(kFile);
  command.add_option("--trace-time", flags.columns.time, "Column of the times of arrival");
  command.add_option("--trace-prompt", flags.columns.prompt, "Column of the prompts' tokens");
  command.add_option("--trace-output", flags.columns.output, "Column of the outputs' tokens");
  command.add_option("--trace-time-unit", flags.columns.time_unit, "Of times that are numbers")
      ->type_name(words({"s", "ms", "us", "ns"}))
      ->check(one_of({"s", "ms", "us", "ns"}));
  command.add_option("--rate-scale", flags.rate_scale, "Requests come so many times as fast")
      ->capture_default_str()
      ->check(number(1e-3, 1e6));
  command.add_option("--requests", flags.made.requests, "Made up: how many")
      ->capture_default_str()
      ->check(whole_number(1, 100'000'000));
  command.add_option("--rate", flags.made.rate, "Made up: requests a second")
      ->capture_default_str()
      ->check(number(1e-6, 1e6));
  command
      .add_option(
          "--burstiness", flags.made.burstiness,
          "Made up: shape of the gaps' gamma distribution; 1 is Poisson, less comes in bursts")
      ->capture_default_str()
      ->check(number(0.01, 1e6));
  command.add_option("--prompt-tokens", flags.made.prompt_mean, "Made up: mean of the prompts")
      ->capture_default_str()
      ->check(number(1, 1e7));
  command.add_option("--output-tokens", flags.made.output_mean, "Made up: mean of the outputs")
      ->capture_default_str()
      ->check(number(1, 1e7));
}

void add_server_flags(CLI::App& command, TrafficFlags& flags) {
  command.add_option("--reserve", flags.reserve,
                     "Memory of a device to keep free; auto: as plan estimates it");
  command.add_option("--gpu-bandwidth", flags.bandwidth, "Bytes a second of its memory: 3.35TB");
  command.add_option("--gpu-flops", flags.flops, "FLOP/s of a device in 16 bits: 989T");
  command
      .add_option("--efficiency", flags.efficiency,
                  "Share of bandwidth and FLOP/s that the engine reaches")
      ->capture_default_str()
      ->check(number(0.001, 1));
  command.add_option("--step-overhead-ms", flags.step_overhead_ms, "Added to every step")
      ->capture_default_str()
      ->check(number(0, 1e4));
  command.add_option("--block-size", flags.block_size, "Tokens of a block of the cache")
      ->capture_default_str()
      ->check(whole_number(1, 4096));
  command.add_option("--max-sequences", flags.max_sequences, "That run at once")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 20));
  command
      .add_option("--max-step-tokens", flags.max_step_tokens,
                  "Tokens of a step: one a running sequence, the rest parts of prompts")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 24));
  command.add_option("--max-context", flags.max_context,
                     "Longer requests are rejected; left out: the model's own limit");
  command.add_flag("--prefix-caching", flags.prefix_caching,
                   "Prompts that begin alike share their blocks (hash_ids)");
  command
      .add_option("--max-ttft-ms", flags.max_ttft_ms,
                  "Time to the first token of a request that counts as good")
      ->check(number(0, 1e9));
  command.add_option("--max-tpot-ms", flags.max_tpot_ms, "Time for each further token of it")
      ->check(number(0, 1e9));
  command
      .add_option("--gpu-price", flags.gpu_price, "Of a device and hour, for the cost of tokens")
      ->check(number(0, 1e6));
}

}  // namespace regroup
