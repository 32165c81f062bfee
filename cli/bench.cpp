#include "bench_flags.h"
#include "flag_values.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/compute_names.h"
#include "regroup/checkpoint/output_path.h"
#include "torch_part.h"

namespace regroup {
namespace {

void check_bench(const BenchFlags& flags, const Globals&) {
  require_compute_dtype_name(flags.dtype);
  bench_contexts(flags);
  if (!flags.out.empty()) check_output_file(flags.out, "--out", flags.models);
}

}  // namespace

std::vector<int64_t> bench_contexts(const BenchFlags& flags) {
  std::vector<int64_t> contexts;
  for (const std::string& text : flags.context) {
    contexts.push_back(parse_context(text, "--context"));
  }
  return contexts;
}

void add_bench_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<BenchFlags>(
      root, invocation, "bench", "Measure prefill and decode speed against what the machine can do",
      run_bench, check_bench);
  command->add_option("MODEL,--models", flags->models, "Model folders")
      ->type_name(kFolder)
      ->required();
  command
      ->add_option("--kv-heads", flags->kv_heads,
                   "Measure each model with these numbers of KV heads too: no conversion is needed "
                   "for that")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number());
  command->add_option("--batch", flags->batch, "Sequences that are decoded together")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str()
      ->check(whole_number(1, 1 << 20));
  command
      ->add_option("--context", flags->context,
                   "Tokens of each sequence before the first new one, such as 512,8k; left out: "
                   "2048, or what the model has room for")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--new-tokens", flags->new_tokens, "Decode steps of a repetition")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 20));
  command->add_option("--repetitions", flags->repetitions, "How often each point is measured")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 16));
  command->add_flag("--no-prefill", flags->no_prefill, "Measure decoding alone");
  command->add_option("--dtype", flags->dtype, "Dtype to compute in, and of the KV cache")
      ->type_name(words({"auto", "f32", "bf16", "f16"}))
      ->capture_default_str();
  command->add_option("--out", flags->out, "Write the results to this JSON file")->type_name(kFile);
}

}  // namespace regroup
