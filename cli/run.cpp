#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "command.h"
#include "flag_values.h"
#include "progress.h"
#include "recipe.h"
#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/digest.h"
#include "regroup/checkpoint/documents.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/stop_signal.h"
#include "regroup/checkpoint/text.h"
#include "regroup/checkpoint/tokenizer.h"
#include "regroup/version.h"
#include "table.h"
#include "torch_part.h"

namespace regroup {
namespace {

namespace fs = std::filesystem;

struct RunFlags {
  std::string recipe;
  std::string out;
  std::vector<std::string> prompts;
  int64_t sample_tokens = 80;
};

/// SHA-256 over a file, or over the files of a folder that decide what a model is.
std::string digest_of(const std::string& path) {
  if (!path_exists(path)) return "absent";
  if (!is_folder(path)) return sha256_of_file(path);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    const bool counts =
        name.ends_with(".safetensors") || name.ends_with(".json") || name.ends_with(".model");
    if (counts && entry.is_regular_file()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += name + sha256_of_file(path + "/" + name);
  return sha256_of_text(all);
}

/// One command of the pipeline.
struct Stage {
  std::string name;                    ///< "g4/convert"
  std::vector<std::string> arguments;  ///< the command line, recipe and global flags left out
  std::vector<std::string> inputs;     ///< files and folders whose content decides the result
  std::string output;                  ///< exists when the stage is done
  std::string result;                  ///< where its JSON goes, or ""
  bool replaces = false;  ///< an earlier result of other inputs is dropped with --overwrite
};

class Pipeline {
 public:
  Pipeline(const RunFlags& flags, const Globals& globals)
      : flags_(flags), globals_(globals), recipe_(read_recipe(flags.recipe)), out_(flags.out) {
    if (out_.empty()) out_ = "runs/" + fs::path(flags.recipe).stem().string();
    model_ = required("model", "the parent").front();
    for (const std::string& text : required("kv-heads", "the KV heads to keep")) {
      for (size_t start = 0; start <= text.size();) {  // "4,2" and ["4", "2"] are the same
        const size_t comma = std::min(text.find(',', start), text.size());
        kv_heads_.push_back(text.substr(start, comma - start));
        start = comma + 1;
      }
    }
  }

  CommandOutput run() {
    const Stopwatch watch;
    check_stages();
    std::error_code error;
    fs::create_directories(out_ + "/results", error);
    if (error) throw_output_error(error.value(), "create", out_);
    for (const std::string& g : kv_heads_) make_folder(folder(g));
    const FileDescriptor lock = lock_folder(out_);
    load_journal();
    try {
      for (const Stage& stage : stages()) {
        throw_if_stopped(/*resumable=*/true);
        carry_out(stage);
      }
      if (recipe_.has_section("eval")) make_report();
    } catch (const Error& stop) {
      // A stage that had nothing to keep yet: those before it are kept.
      if (stop.info().code == "INTERRUPTED") throw_if_stopped(/*resumable=*/true);
      throw;
    }
    CommandOutput output;
    output.json = {{"out", out_},
                   {"stages_run", n_run_},
                   {"stages_skipped", n_skipped_},
                   {"seconds", watch.seconds()}};
    output.text = fmt::format("{} stages run, {} were done before; {}\n", n_run_, n_skipped_,
                              human_seconds(watch.seconds()));
    if (recipe_.has_section("eval")) {
      output.json["report"] = out_ + "/report.html";
      output.text += summary() + fmt::format("\n{}/report.html\n", out_);
    }
    return output;
  }

  /// Refuses what a stage would refuse later on: a wrong value must not cost the hours of the stages
  /// before it.
  void check_stages() const {
    check_device(globals_.device);
    if (is_inside(out_, model_)) {
      throw ConfigError({.code = "OUTPUT_IS_INPUT",
                         .message = fmt::format("must lie outside the input {}", printable(model_)),
                         .path = out_,
                         .tensor = {},
                         .hint = "choose another --out"});
    }
    for (const Stage& stage : stages()) {
      const Invocation invocation = parse_command_line(command_line(stage));
      try {
        invocation.check();
      } catch (const ConfigError& error) {
        ErrorInfo info = error.info();
        if (!info.path.empty()) throw;
        info.path = flags_.recipe;
        info.message = fmt::format("[{}] {}", stage.arguments.front(), info.message);
        throw ConfigError(info);
      }
    }
    if (!reads_text()) return;
    const Tokenizer tokenizer = Tokenizer::open(model_);
    require_vocabulary(tokenizer, read_model_config(model_ + "/config.json").vocab_size, model_);
  }

 private:
  std::vector<std::string> required(const std::string& key, const std::string& what) const {
    const std::vector<std::string> found = recipe_.values("convert", key);
    if (!found.empty()) return found;
    throw ConfigError({.code = "RECIPE_MISSING_KEY",
                       .message = fmt::format("must name {}: {} in section [convert]", what, key),
                       .path = flags_.recipe,
                       .tensor = {},
                       .hint = "see recipes/ for examples"});
  }

  bool reads_text() const {
    std::vector<std::string> files = recipe_.values("eval", "text");
    for (const char* key : {"data", "valid"}) {
      for (const std::string& path : recipe_.values("uptrain", key)) files.push_back(path);
    }
    const bool samples = recipe_.has_section("eval") && !flags_.prompts.empty();
    return samples || std::any_of(files.begin(), files.end(), is_text_file);
  }

  std::string folder(const std::string& g) const { return fmt::format("{}/g{}", out_, g); }
  std::string result(const std::string& name) const {
    return fmt::format("{}/results/{}.json", out_, name);
  }

  std::vector<Stage> stages() const {
    std::vector<Stage> all;
    const bool uptrains = recipe_.has_section("uptrain");
    const bool evaluates = recipe_.has_section("eval");
    if (recipe_.has_section("plan")) {
      all.push_back(
          {"plan", {"plan", model_}, {model_ + "/config.json"}, result("plan"), result("plan")});
    }
    std::vector<std::string> models = {model_};
    for (const std::string& g : kv_heads_) {
      const std::string converted = folder(g) + "/converted";
      all.push_back({"g" + g + "/convert",
                     {"convert", model_, converted, "--kv-heads", g},
                     {model_},
                     converted,
                     result("g" + g + "-convert"),
                     true});
      models.push_back(converted);
      if (evaluates) {
        all.push_back(eval_stage("g" + g + "/eval", {model_, converted}, "g" + g + "-converted"));
      }
      if (!uptrains) continue;
      const std::string run = folder(g) + "/uptrained";
      Stage stage{"g" + g + "/uptrain", {"uptrain", converted, run},  {converted},
                  run + "/model",       result("g" + g + "-uptrain"), true};
      if (const std::string teacher = teacher_path(); !teacher.empty()) {
        stage.arguments.insert(stage.arguments.end(), {"--teacher", teacher});
        stage.inputs.push_back(teacher);
      }
      for (const std::string& path : recipe_.values("uptrain", "data"))
        stage.inputs.push_back(path);
      for (const std::string& path : recipe_.values("uptrain", "valid"))
        stage.inputs.push_back(path);
      all.push_back(stage);
      models.push_back(run + "/model");
    }
    if (evaluates) all.push_back(eval_stage("eval", models, "eval"));
    return all;
  }

  /// "" without a teacher. "parent" stands for the model that [convert] starts from.
  std::string teacher_path() const {
    const std::vector<std::string> named = recipe_.values("uptrain", "teacher");
    if (named.empty()) return "";
    return named.front() == "parent" ? model_ : named.front();
  }

  Stage eval_stage(const std::string& name, const std::vector<std::string>& models,
                   const std::string& file) const {
    Stage stage{name, {"eval"}, models, result(file), ""};
    stage.arguments.insert(stage.arguments.end(), models.begin(), models.end());
    stage.arguments.insert(stage.arguments.end(), {"--baseline", model_, "--out", result(file)});
    for (const char* key : {"text", "tokens"}) {
      for (const std::string& path : recipe_.values("eval", key)) stage.inputs.push_back(path);
    }
    return stage;
  }

  /// What decides a stage's result: its command line, its section of the recipe and its inputs.
  std::string fingerprint(const Stage& stage) const {
    Json key = {{"version", kVersion}, {"arguments", stage.arguments}, {"seed", globals_.seed}};
    for (const RecipeEntry& entry : recipe_.entries()) {
      if (entry.section == stage.arguments.front() || entry.section.empty()) {
        key["section"][entry.key] = entry.values;
      }
    }
    for (const std::string& input : stage.inputs) key["inputs"][input] = digest_of(input);
    return sha256_of_text(key.dump());
  }

  std::vector<std::string> command_line(const Stage& stage,
                                        const std::vector<std::string>& replacing = {}) const {
    std::vector<std::string> line = {"--recipe", flags_.recipe};
    line.insert(line.end(), stage.arguments.begin(), stage.arguments.end());
    if (stage.replaces) line.insert(line.end(), replacing.begin(), replacing.end());
    line.insert(line.end(),
                {"--device", globals_.device, "--threads", std::to_string(globals_.threads),
                 "--seed", std::to_string(globals_.seed)});
    if (globals_.quiet) line.emplace_back("--quiet");
    return line;
  }

  void carry_out(const Stage& stage) {
    const std::string key = fingerprint(stage);
    Json& record = record_of(stage.name);
    const bool known = record.value("fingerprint", "") == key;
    if (known && record.value("state", "") == "done" && path_exists(stage.output)) {
      spdlog::info("{}: done before, inputs unchanged", stage.name);
      ++n_skipped_;
      return;
    }
    spdlog::info("{}: regroup {}", stage.name, join(stage.arguments, " "));
    std::vector<std::string> replacing;
    if (record.contains("fingerprint") && !known) {
      replacing = {"--overwrite", "--resume", "never"};
    } else if (known && path_exists(stage.output)) {
      // Killed between its output and "done", or stopped while it made anew what others had made.
      replacing = {"--overwrite"};
    }
    record["arguments"] = stage.arguments;
    record["fingerprint"] = key;
    record["state"] = "started";
    save_journal();
    const Stopwatch watch;
    const Invocation invocation = parse_command_line(command_line(stage, replacing));
    const CommandOutput output = invocation.action();
    if (!stage.result.empty()) write_file_atomically(stage.result, output.json.dump(2) + "\n");
    record["state"] = "done";
    record["seconds"] = watch.seconds();
    save_journal();
    ++n_run_;
    std::string text = output.text;
    if (!globals_.quiet)
      spdlog::info("{}: {}\n{}", stage.name, human_seconds(watch.seconds()), text);
  }

  /// The journal's entry of a stage, made when it is new.
  Json& record_of(const std::string& name) {
    for (Json& stage : journal_["stages"]) {
      if (stage.value("name", "") == name) return stage;
    }
    journal_["stages"].push_back({{"name", name}});
    return journal_["stages"].back();
  }

  /// What a model makes of a prompt. A sample that cannot be had is no reason to lose the report.
  std::optional<std::string> continuation(const std::string& model, const std::string& prompt) {
    try {
      const Invocation invocation = parse_command_line(
          {"generate", model, "--prompt", prompt, "--max-new-tokens",
           std::to_string(flags_.sample_tokens), "--device", globals_.device, "--json"});
      return invocation.action().json.at("text").get<std::string>();
    } catch (const Error& error) {
      if (stop_signal() != 0) throw;
      spdlog::warn("no sample of {}: {}", printable(model), error.what());
      return std::nullopt;
    }
  }

  /// Continuations of the same prompts by every model, for the report.
  void write_samples() {
    if (flags_.prompts.empty()) return;
    Json samples = Json::array();
    const Json eval = read_strict_json(result("eval"), kManifestJson);
    const Json models = eval.contains("models") ? eval["models"] : Json::array({eval});
    for (const std::string& prompt : flags_.prompts) {
      Json continuations = Json::array();
      for (const Json& model : models) {
        const auto path = model.at("model_name").get<std::string>();
        if (const auto text = continuation(path, prompt)) {
          continuations.push_back({{"role", model.at("regroup").at("role")},
                                   {"n_kv_heads", model.at("regroup").at("n_kv_heads")},
                                   {"text", *text}});
        }
      }
      samples.push_back({{"prompt", prompt}, {"continuations", continuations}});
    }
    write_file_atomically(result("samples"), Json{{"samples", samples}}.dump(2) + "\n");
  }

  /// The report's own stage is cheap and always made anew.
  void make_report() {
    write_samples();
    std::vector<std::string> inputs = {"report", result("eval"), out_ + "/run.json"};
    for (const char* name : {"plan", "samples"}) {
      if (path_exists(result(name))) inputs.push_back(result(name));
    }
    for (const std::string& g : kv_heads_) {
      const std::string metrics = folder(g) + "/uptrained/metrics.jsonl";
      if (path_exists(metrics)) inputs.push_back(metrics);
      inputs.push_back(folder(g) + "/converted/regroup.json");
    }
    for (const char* extension : {"html", "md"}) {
      std::vector<std::string> line = inputs;
      line.insert(line.end(), {"--out", fmt::format("{}/report.{}", out_, extension)});
      parse_command_line(line).action();
    }
  }

  std::string summary() const {
    const Json eval = read_strict_json(result("eval"), kManifestJson);
    std::vector<std::vector<std::string>> rows = {{"model", "KV heads", "loss", "KL", "recovery"}};
    for (const Json& model : eval.contains("models") ? eval["models"] : Json::array({eval})) {
      const Json& first = model.at("results").begin().value();
      const auto cell = [&](const char* key) {
        return first.contains(key) && first[key].is_number()
                   ? without_zero_sign(fmt::format("{:.4f}", first[key].get<double>()))
                   : std::string("-");
      };
      rows.push_back({model.at("regroup").at("role").get<std::string>(),
                      std::to_string(model.at("regroup").at("n_kv_heads").get<int64_t>()),
                      cell("loss,none"), cell("kl,none"), cell("recovery,none")});
    }
    return format_table(rows);
  }

  void load_journal() {
    const std::string path = out_ + "/run.json";
    if (path_exists(path)) journal_ = read_strict_json(path, kManifestJson);
    if (!journal_.is_object() || !journal_.contains("stages") || !journal_["stages"].is_array()) {
      journal_ = {{"stages", Json::array()}};
    }
    journal_["version"] = kVersion;
    journal_["recipe"] = {{"path", flags_.recipe}, {"text", InputFile(flags_.recipe).read_all()}};
  }
  void save_journal() const { write_file_atomically(out_ + "/run.json", journal_.dump(2) + "\n"); }

  const RunFlags& flags_;
  const Globals& globals_;
  Recipe recipe_;
  std::string out_;
  std::string model_;
  std::vector<std::string> kv_heads_;
  Json journal_ = Json::object();
  int64_t n_run_ = 0;
  int64_t n_skipped_ = 0;
};

void check_pipeline(const RunFlags& flags, const Globals& globals) {
  Pipeline(flags, globals).check_stages();
}

CommandOutput run_pipeline(const RunFlags& flags, const Globals& globals) {
  return Pipeline(flags, globals).run();
}

}  // namespace

void add_run_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<RunFlags>(
      root, invocation, "run", "Carry out a recipe: convert, eval, uptrain, eval, report",
      run_pipeline, check_pipeline);
  command->add_option("RECIPE", flags->recipe, "Recipe (TOML); paths in it are relative to here")
      ->required();
  command->add_option("--out", flags->out, "Folder of the run; left out: runs/NAME of the recipe");
  command->add_option("--prompts", flags->prompts,
                      "Texts that every model continues in the report");
  command->add_option("--sample-tokens", flags->sample_tokens, "Length of the continuations")
      ->capture_default_str()
      ->check(whole_number(1, 4096));
}

}  // namespace regroup
