#include <fmt/format.h>

#include <algorithm>

#include "command.h"
#include "flag_values.h"
#include "progress.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/human_number.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/processors.h"
#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/text/document_settings.h"
#include "regroup/text/encoded_documents.h"
#include "regroup/text/token_file.h"
#include "regroup/text/tokenizer.h"
#include "setting_flags.h"
#include "text_files.h"

namespace regroup {
namespace {

struct TokenizeFlags {
  std::string model;
  std::vector<std::string> files;
  std::string out;
  DocumentOptions documents;
  bool add_bos = false;
  bool no_add_bos = false;
  bool append_eos = false;
};

/// What stands beside the token file, so that training can tell whose ids these are.
void write_sidecar(const std::string& out, const Json& facts) {
  write_file_atomically(out + ".json", facts.dump(2) + "\n");
}

/// The token file and its sidecar are written over what is there: it must not be what is read.
void check_outputs(const TokenizeFlags& flags) {
  std::vector<std::string> inputs = flags.files;
  inputs.push_back(flags.model);
  check_output_file(flags.out, "--out", inputs);
  check_output_file(flags.out + ".json", "the file beside --out", inputs);
}

/// How much of all files was read, and the time that the rest will take.
class ReadingLine {
 public:
  ReadingLine(const std::vector<std::string>& files, bool quiet) : line_("tokenize:", quiet) {
    for (const std::string& path : files) {
      sizes_.push_back(static_cast<double>(InputFile(path).size()));
      total_ += sizes_.back();
    }
  }

  /// @param read  share of the current file
  void show(double read, int64_t bytes, int64_t tokens) {
    if (watch_.seconds() < 1) return;  // no rate yet
    // The last document of a file comes when all of it was read: only the end is the end.
    const double done = std::min(kAlmost, (before_ + read * sizes_[file_]) / total_);
    line_.share(done, watch_.seconds(),
                fmt::format("{} of text, {} tokens", human_bytes(bytes),
                            human_count(static_cast<double>(tokens))));
  }
  void next_file() { before_ += sizes_[file_++]; }

 private:
  static constexpr double kAlmost = 0.999;
  ProgressLine line_;
  std::vector<double> sizes_;
  double total_ = 0;
  double before_ = 0;  // bytes of the files that are done
  size_t file_ = 0;
  Stopwatch watch_;
};

CommandOutput run_tokenize(const TokenizeFlags& flags, const Globals& globals) {
  const Stopwatch watch;
  check_outputs(flags);
  warn_if_separator_missing(flags.documents, flags.files);
  require_model_folder(flags.model);
  const ModelConfig config = read_model_config(flags.model + "/config.json");
  const Tokenizer tokenizer =
      open_tokenizer(flags.model, config.vocab_size, flags.documents, flags.append_eos);
  // A chat template writes its own; what was asked for comes all the same.
  const DocumentEnds ends = {
      .bos = flags.add_bos || (!flags.no_add_bos && tokenizer.adds_bos()),
      .eos = flags.append_eos || tokenizer.adds_eos(),
      .chat_bos = flags.add_bos,
      .chat_eos = flags.append_eos,
  };
  const int threads = globals.threads > 0 ? globals.threads : usable_threads();
  ReadingLine progress(flags.files, globals.quiet);
  TokenFileWriter writer(flags.out, config.vocab_size);
  int64_t bytes = 0;
  int64_t documents = 0;
  for (const std::string& path : flags.files) {
    documents += encode_documents(path, tokenizer, flags.documents, ends, threads,
                                  [&](const EncodedDocument& document) {
                                    writer.add(document.ids);
                                    bytes += document.bytes;
                                    progress.show(document.read, bytes, writer.size());
                                  });
    progress.next_file();
  }
  remove_tree(flags.out + ".json");  // killed between the two files, it must not describe other ids
  writer.finish();
  CommandOutput output;
  output.json = {{"out", flags.out},
                 {"tokens", writer.size()},
                 {"documents", documents},
                 {"bytes", bytes},
                 {"seconds", watch.seconds()},
                 {"vocab_size", config.vocab_size},
                 {"tokenizer_sha256", tokenizer.digest()}};
  write_sidecar(flags.out, {{"tokens", writer.size()},
                            {"documents", documents},
                            {"vocab_size", config.vocab_size},
                            {"tokenizer_sha256", tokenizer.digest()}});
  output.text = fmt::format("{} tokens of {} documents ({}) in {:.2f} s: {}\n", writer.size(),
                            documents, human_bytes(bytes), watch.seconds(), flags.out);
  return output;
}

}  // namespace

void add_tokenize_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<TokenizeFlags>(
      root, invocation, "tokenize", "Write text as a token file (llm.c format)", run_tokenize);
  add_model(*command, flags->model)->required();
  command->add_option("FILE,--files", flags->files, kTextFiles)->type_name(kFile)->required();
  command->add_option("--out", flags->out, "Token file to write")->type_name(kFile)->required();
  visit_settings(flags->documents, SettingFlags(*command));
  auto* add = command->add_flag("--add-bos", flags->add_bos, "Begin every document with BOS");
  command->add_flag("--no-add-bos", flags->no_add_bos, "Begin no document with BOS")->excludes(add);
  command->add_flag("--append-eos", flags->append_eos, "End every document with EOS");
}

}  // namespace regroup
