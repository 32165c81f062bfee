// regroup-demo-data: the text, the tokenizer and the config that `make demo` starts from.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "demo/grammar.h"
#include "demo/tokenizer_training.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/output_file.h"
#include "regroup/base/quantity.h"

namespace {

using namespace regroup;
using OrderedJson = nlohmann::ordered_json;

struct Options {
  std::string out;
  std::string train_size = "3MB";
  std::string valid_size = "200kB";
  int64_t vocab_size = 512;
  int64_t seed = 1;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("out", options.out, "Folder to write into; made if it does not exist")->required();
  app.add_option("--train-size", options.train_size, "Size of corpus/train.txt")
      ->capture_default_str();
  app.add_option("--valid-size", options.valid_size, "Size of corpus/valid.txt")
      ->capture_default_str();
  app.add_option("--vocab-size", options.vocab_size, "Pieces of the tokenizer")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "The same seed gives the same bytes")
      ->capture_default_str();
}

/// A size between what holds some documents and what this program keeps in memory.
int64_t corpus_bytes(const std::string& text, const std::string& flag) {
  const int64_t bytes = parse_size(text, flag);
  if (bytes >= 10'000 && bytes <= 1'000'000'000) return bytes;
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("{} must lie between 10kB and 1GB, found {}", flag, text)});
}

/// LLaMA in small: about a million weights.
OrderedJson model_config(int64_t vocab_size) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", 128},
          {"intermediate_size", 352},
          {"num_hidden_layers", 4},
          {"num_attention_heads", 8},
          {"num_key_value_heads", 8},
          {"vocab_size", vocab_size},
          {"max_position_embeddings", 256},
          {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"attention_bias", false},
          {"tie_word_embeddings", false},
          {"initializer_range", 0.02},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"use_cache", true},
          {"torch_dtype", "float32"}};
}

OrderedJson tokenizer_config() {
  return {{"tokenizer_class", "LlamaTokenizer"},
          {"add_bos_token", true},
          {"add_eos_token", false},
          {"unk_token", "<unk>"},
          {"bos_token", "<s>"},
          {"eos_token", "</s>"},
          {"clean_up_tokenization_spaces", false},
          {"model_max_length", 256}};
}

void write_demo_data(const Options& options) {
  const int64_t train_bytes = corpus_bytes(options.train_size, "--train-size");
  const int64_t valid_bytes = corpus_bytes(options.valid_size, "--valid-size");
  if (options.seed < 0) {
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("--seed must not be negative, found {}", options.seed)});
  }
  const auto seed = static_cast<uint64_t>(options.seed);
  std::unordered_set<std::string> seen;
  const std::string train = demo::make_corpus(seed, demo::Split::kTrain, train_bytes, seen);
  const std::string valid = demo::make_corpus(seed, demo::Split::kValid, valid_bytes, seen);
  const std::string tokenizer = demo::train_tokenizer(train, options.vocab_size);

  const std::string corpus = options.out + "/corpus";
  const std::string base_config = options.out + "/base-config";
  for (const std::string& folder : {options.out, corpus, base_config}) make_folder(folder);
  write_file_atomically(corpus + "/train.txt", train);
  write_file_atomically(corpus + "/valid.txt", valid);
  write_file_atomically(base_config + "/tokenizer.model", tokenizer);
  write_file_atomically(base_config + "/tokenizer_config.json", tokenizer_config().dump(2) + "\n");
  write_file_atomically(base_config + "/config.json",
                        model_config(options.vocab_size).dump(2) + "\n");
}

int fail(const std::string& message, ExitCode code) {
  fmt::print(stderr, "error: {}\n", message);
  return static_cast<int>(code);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes the corpus, tokenizer and model config of the demo");
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
    write_demo_data(options);
    return 0;
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail(error.what(), ExitCode::kConfig);
  } catch (const Error& error) {
    const std::string& hint = error.info().hint;
    return fail(hint.empty() ? error.what() : fmt::format("{} ({})", error.what(), hint),
                error.exit_code());
  } catch (const std::exception& error) {
    return fail(fmt::format("internal error, please report it: {}", error.what()), ExitCode::kBug);
  }
}
