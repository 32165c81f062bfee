#include "run_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "flag_names.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/config.h"
#include "regroup/tasks/task.h"
#include "regroup/text/documents.h"
#include "regroup/text/tokenizer.h"
#include "regroup/version.h"
#include "torch_part.h"

namespace regroup {
namespace {

namespace fs = std::filesystem;

// Weights, configuration, tokenizer and chat template: files that decide what a model is and how it is asked.
constexpr auto kDeciding = std::to_array<std::string_view>(
    {".safetensors", ".json", ".jinja", ".model", ".tiktoken", "merges.txt"});

bool decides(const std::string& name) {
  return std::any_of(kDeciding.begin(), kDeciding.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

/// SHA-256 over a file, or over the files of a folder that decide what a model is.
std::string digest_of(const std::string& path) {
  if (!path_exists(path)) return "absent";
  if (!is_folder(path)) return sha256_of_file(path);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (decides(name) && entry.is_regular_file()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += name + sha256_of_file(path + "/" + name);
  return sha256_of_text(all);
}

/// "4,2" and ["4", "2"] are the same.
std::vector<std::string> single_values(const std::vector<std::string>& lists) {
  std::vector<std::string> all;
  for (const std::string& text : lists) {
    for (size_t start = 0; start <= text.size();) {
      const size_t comma = std::min(text.find(',', start), text.size());
      all.push_back(text.substr(start, comma - start));
      start = comma + 1;
    }
  }
  return all;
}

}  // namespace

RunStages::RunStages(const RunFlags& flags, const Globals& globals)
    : flags_(flags), globals_(globals), recipe_(read_recipe(flags.recipe)), out_(flags.out) {
  if (out_.empty()) out_ = "runs/" + fs::path(flags.recipe).stem().string();
  model_ = required("model", "the parent").front();
  kv_heads_ = single_values(required("kv-heads", "the KV heads to keep"));
}

void RunStages::check() const {
  check_device(globals_.device);
  if (flags_.control && !recipe_.has_section("uptrain")) {
    throw ConfigError({.code = "RECIPE_MISSING_KEY",
                       .message = "must have a section [uptrain] for a control: the parent trained "
                                  "as the converted models are",
                       .path = flags_.recipe,
                       .hint = "add the section, or leave --control out"});
  }
  check_control_objective();
  check_bench_heads();
  if (is_inside(out_, model_)) {
    throw ConfigError({.code = "OUTPUT_IS_INPUT",
                       .message = fmt::format("must lie outside the input {}", printable(model_)),
                       .path = out_,
                       .hint = "choose another --out"});
  }
  for (const Stage& stage : stages()) {
    const Invocation invocation = parse_command_line(command_line(stage));
    try {
      invocation.check();
    } catch (const ConfigError& error) {
      if (!error.info().path.empty()) throw;
      throw ConfigError(in_recipe(error.info(), stage, invocation.from_recipe));
    }
  }
  if (!reads_text()) return;
  DocumentOptions documents;
  for (const char* section : {"eval", "uptrain"}) {
    for (const std::string& value : recipe_.values(section, "parse-special-tokens")) {
      documents.parse_special_tokens = documents.parse_special_tokens || value == "true";
    }
  }
  open_tokenizer(model_, read_model_config(model_ + "/config.json").vocab_size, documents);
}

/// The parent that learns from itself alone has no gradient: it would show nothing.
void RunStages::check_control_objective() const {
  const std::vector<std::string> weight = recipe_.values("uptrain", "kl-weight");
  const bool learns_text = !weight.empty() && std::strtod(weight.front().c_str(), nullptr) < 1;
  if (!flags_.control || learns_text || teacher_path().empty()) return;
  std::error_code none;  // a teacher that is not there is refused with its stage
  if (!fs::equivalent(teacher_path(), model_, none)) return;
  throw ConfigError(
      {.code = "FLAG_CONFLICT",
       .message =
           "`control` must learn from something else than itself: the teacher is the parent, "
           "and `kl-weight` is 1",
       .path = flags_.recipe,
       .hint = "leave the control out, name another teacher, or give the text a share: kl-weight = "
               "0.5"});
}

/// Heads that a later stage measures, before anything is converted.
void RunStages::check_bench_heads() const {
  const std::vector<std::string> asked = recipe_.values("bench", "kv-heads");
  if (asked.empty()) return;
  const ModelConfig config = read_model_config(model_ + "/config.json");
  for (const std::string& n : single_values(asked)) {
    require_kv_heads(config, parse_count(n, "[bench] kv-heads"));
  }
}

ErrorInfo RunStages::in_recipe(ErrorInfo error, const Stage& stage,
                               const RecipeValues& values) const {
  error.message = with_flags(error.message);
  const auto value = values.find(error.message.substr(0, error.message.find(' ')));
  const std::string place = value == values.end() ? "" : to_string(value->second) + ": ";
  error.path = flags_.recipe;
  error.message = fmt::format("{}[{}] {}", place, stage.arguments.front(), error.message);
  return error;
}

std::vector<std::string> RunStages::required(const std::string& key,
                                             const std::string& what) const {
  const std::vector<std::string> found = recipe_.values("convert", key);
  if (!found.empty()) return found;
  throw ConfigError({.code = "RECIPE_MISSING_KEY",
                     .message = fmt::format("must name {}: {} in section [convert]", what, key),
                     .path = flags_.recipe,
                     .hint = "see recipes/ for examples"});
}

bool RunStages::reads_text() const {
  std::vector<std::string> files = recipe_.values("eval", "text");
  for (const char* key : {"data", "valid"}) {
    for (const std::string& path : recipe_.values("uptrain", key)) files.push_back(path);
  }
  const bool samples = evaluates() && !flags_.prompts.empty();
  return samples || std::any_of(files.begin(), files.end(), is_text_file);
}

std::string RunStages::folder(const std::string& g) const { return fmt::format("{}/g{}", out_, g); }

std::string RunStages::result(const std::string& name) const {
  return fmt::format("{}/results/{}.json", out_, name);
}

std::vector<Stage> RunStages::stages() const {
  std::vector<Stage> all;
  if (recipe_.has_section("plan")) {
    all.push_back(
        {"plan", {"plan", model_}, {model_ + "/config.json"}, result("plan"), result("plan")});
  }
  std::vector<std::string> models = {model_};
  std::vector<std::string> shapes = {model_};  // uptraining does not change how fast a model is
  for (const std::string& g : kv_heads_) {
    all.push_back(convert_stage(g));
    const std::string converted = all.back().output;
    models.push_back(converted);
    shapes.push_back(converted);
    if (evaluates()) {
      all.push_back(eval_stage("g" + g + "/eval", {model_, converted}, "g" + g + "-converted"));
    }
    if (!recipe_.has_section("uptrain")) continue;
    all.push_back(uptrain_stage("g" + g, converted));
    models.push_back(all.back().output);
  }
  if (flags_.control) {
    all.push_back(uptrain_stage("control", model_));
    models.push_back(all.back().output);
  }
  if (evaluates()) all.push_back(eval_stage("eval", models, "eval"));
  if (recipe_.has_section("bench")) {
    all.push_back({"bench", {"bench"}, shapes, result("bench"), result("bench")});
    all.back().arguments.insert(all.back().arguments.end(), shapes.begin(), shapes.end());
  }
  return all;
}

Stage RunStages::convert_stage(const std::string& g) const {
  const std::string converted = folder(g) + "/converted";
  return {"g" + g + "/convert",
          {"convert", model_, converted, "--kv-heads", g},
          {model_},
          converted,
          result("g" + g + "-convert"),
          true};
}

std::vector<std::string> RunStages::uptrainings() const {
  if (!recipe_.has_section("uptrain")) return {};
  std::vector<std::string> all;
  for (const std::string& g : kv_heads_) all.push_back(folder(g) + "/uptrained");
  if (flags_.control) all.push_back(out_ + "/control/uptrained");
  return all;
}

Stage RunStages::uptrain_stage(const std::string& name, const std::string& start) const {
  const std::string run = out_ + "/" + name + "/uptrained";
  Stage stage{name + "/uptrain", {"uptrain", start, run},   {start},
              run + "/model",    result(name + "-uptrain"), true};
  if (const std::string teacher = teacher_path(); !teacher.empty()) {
    stage.arguments.insert(stage.arguments.end(), {"--teacher", teacher});
    stage.inputs.push_back(teacher);
  }
  for (const char* key : {"data", "valid"}) {
    for (const std::string& path : recipe_.values("uptrain", key)) stage.inputs.push_back(path);
  }
  return stage;
}

/// "" without a teacher. "parent" stands for the model that [convert] starts from.
std::string RunStages::teacher_path() const {
  const std::vector<std::string> named = recipe_.values("uptrain", "teacher");
  if (named.empty()) return "";
  return named.front() == "parent" ? model_ : named.front();
}

Stage RunStages::eval_stage(const std::string& name, const std::vector<std::string>& models,
                            const std::string& file) const {
  Stage stage{name, {"eval"}, models, result(file), ""};
  stage.arguments.insert(stage.arguments.end(), models.begin(), models.end());
  stage.arguments.insert(stage.arguments.end(), {"--baseline", model_, "--out", result(file)});
  for (const char* key : {"text", "tokens", "probe-text"}) {
    for (const std::string& path : recipe_.values("eval", key)) stage.inputs.push_back(path);
  }
  for (const std::string& task : recipe_.values("eval", "task")) {
    const std::vector<std::string> folder = recipe_.values("eval", "task-data");
    for (std::string& path :
         files_of_task(task, {.folder = folder.empty() ? "" : folder.front()})) {
      stage.inputs.push_back(std::move(path));
    }
  }
  return stage;
}

std::string RunStages::fingerprint(const Stage& stage) const {
  Json key = {{"version", kVersion}, {"arguments", stage.arguments}, {"seed", globals_.seed}};
  for (const RecipeEntry& entry : recipe_.entries) {
    if (entry.section == stage.arguments.front() || entry.section.empty()) {
      key["section"][entry.key] = entry.values;
    }
  }
  for (const std::string& input : stage.inputs) key["inputs"][input] = digest_of(input);
  return sha256_of_text(key.dump());
}

std::vector<std::string> RunStages::command_line(const Stage& stage,
                                                 const std::vector<std::string>& replacing) const {
  std::vector<std::string> line = {"--recipe", flags_.recipe};
  line.insert(line.end(), stage.arguments.begin(), stage.arguments.end());
  if (stage.replaces) line.insert(line.end(), replacing.begin(), replacing.end());
  line.insert(line.end(),
              {"--device", globals_.device, "--threads", std::to_string(globals_.threads), "--seed",
               std::to_string(globals_.seed)});
  if (globals_.quiet) line.emplace_back("--quiet");
  if (globals_.allow_pickle) line.emplace_back("--allow-pickle");
  return line;
}

}  // namespace regroup
