#include "generate_flags.h"

#include <fmt/format.h>

#include "flag_values.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/checkpoint/compute_names.h"
#include "torch_part.h"

namespace regroup {
namespace {

void check_generate(const GenerateFlags& flags, const Globals&) {
  prompt_text(flags);
  require_compute_dtype_name(flags.dtype);
}

}  // namespace

std::string prompt_text(const GenerateFlags& flags) {
  const int given = static_cast<int>(flags.prompt.has_value()) +
                    static_cast<int>(!flags.prompt_file.empty()) +
                    static_cast<int>(!flags.prompt_ids.empty());
  if (given != 1) {
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = fmt::format(
                           "give exactly one of --prompt, --prompt-file and --prompt-ids, found {}",
                           given == 0 ? "none" : std::to_string(given)),
                       .hint = "for example --prompt \"Once upon a time\""});
  }
  return flags.prompt_file.empty() ? flags.prompt.value_or("")
                                   : InputFile(flags.prompt_file).read_all();
}

void add_generate_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<GenerateFlags>(
      root, invocation, "generate", "Continue a prompt", run_generate, check_generate);
  add_model(*command, flags->model)->required();
  command->add_option("--prompt", flags->prompt, "Text to continue");
  command->add_option("--prompt-file", flags->prompt_file, "File with the text to continue")
      ->type_name(kFile);
  command
      ->add_option("--prompt-ids", flags->prompt_ids,
                   "Ids of the text to continue, as 1,403,407: needs no tokenizer")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--max-new-tokens", flags->max_new_tokens, "Tokens to add at most")
      ->capture_default_str()
      ->check(whole_number(1, int64_t{1} << 24));
  command->add_option("--temperature", flags->temperature, "0 takes the most likely token")
      ->capture_default_str()
      ->check(number(0.0, 100.0));
  command->add_option("--top-p", flags->top_p, "Draw from the most likely tokens of this mass")
      ->capture_default_str()
      ->check(number(1e-6, 1.0));
  command->add_flag("--parse-special-tokens", flags->parse_special_tokens,
                    "Read the text of a special token, such as <|im_end|>, as the token and not as "
                    "text; needs a tokenizer.json");
  command->add_option("--dtype", flags->dtype, "Dtype to compute in")
      ->type_name(words({"auto", "f32", "bf16", "f16"}))
      ->capture_default_str();
}

}  // namespace regroup
