#include <filesystem>
#include <optional>
#include <sstream>
#include <utility>

#include "command.h"
#include "flag_values.h"
#include "recipe_syntax.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/stop_signal.h"
#include "run_pipeline.h"
#include "run_report.h"
#include "sweep_points.h"
#include "sweep_text.h"
#include "sweep_traffic.h"
#include "tolerances.h"

namespace regroup {
namespace {

struct SweepFlags {
  std::string model;
  std::string out;
  std::vector<int64_t> kv_heads;
  std::string method;
  std::vector<std::string> calibration;
  std::vector<std::string> texts;
  std::vector<std::string> tasks;
  std::vector<std::string> probes;
  std::string probe_text;
  std::string seq_len;
  std::string max_tokens;
  ToleranceFlags tolerances;
  TrafficFlags traffic;
  bool has_traffic = false;  ///< a flag of the traffic was given
  std::string pareto = "cache";
};

toml::array list_of(const std::vector<std::string>& values) {
  toml::array list;
  for (const std::string& value : values) list.push_back(value);
  return list;
}

void set(toml::table& section, const char* key, const std::string& value) {
  if (!value.empty()) section.insert_or_assign(key, value);
}
void set(toml::table& section, const char* key, const std::vector<std::string>& values) {
  if (!values.empty()) section.insert_or_assign(key, list_of(values));
}

/// What `run` is to carry out: sections [convert], [uptrain], [eval] and [plan] of the user's recipe, with the flags above them.
toml::table recipe_of(const SweepFlags& flags, const Globals& globals) {
  toml::table given;
  if (!globals.recipe.empty()) {
    given = parse_toml(InputFile(globals.recipe).read_all(), globals.recipe);
  }
  const auto section = [&](const char* name) {
    const toml::table* found = given[name].as_table();
    return found != nullptr ? *found : toml::table();
  };
  toml::table recipe;
  toml::table convert = section("convert");
  set(convert, "model", flags.model);
  set(convert, "method", flags.method);
  set(convert, "calibration", flags.calibration);
  toml::array heads;
  for (const int64_t n : flags.kv_heads) heads.push_back(n);
  convert.insert_or_assign("kv-heads", std::move(heads));
  recipe.insert_or_assign("convert", std::move(convert));
  toml::table eval = section("eval");
  set(eval, "text", flags.texts);
  set(eval, "task", flags.tasks);
  set(eval, "probe", flags.probes);
  set(eval, "probe-text", flags.probe_text);
  set(eval, "seq-len", flags.seq_len);
  set(eval, "max-tokens", flags.max_tokens);
  recipe.insert_or_assign("eval", std::move(eval));
  for (const char* name : {"uptrain", "plan"}) {
    if (given.contains(name)) recipe.insert_or_assign(name, section(name));
  }
  return recipe;
}

void require_texts(const toml::table& recipe, const Globals& globals) {
  const auto eval = recipe["eval"];
  if (eval["text"] || eval["tokens"]) return;
  throw ConfigError({.code = "FLAG_MISSING",
                     .message = "--text must name what the loss of every model is measured on, "
                                "found none",
                     .path = globals.recipe,
                     .hint = "give --text, or text in section [eval] of a recipe"});
}

/// The recipe in OUT, where `run` and its user find it.
class WrittenRecipe {
 public:
  WrittenRecipe(const std::string& out, const toml::table& recipe)
      : out_(out), path_(out + "/sweep.toml"), makes_folder_(!path_exists(out)) {
    make_folder(out);
    std::ostringstream text;
    text << "# Made by regroup sweep.\n" << recipe << "\n";
    if (path_exists(path_)) before_ = InputFile(path_).read_all();
    if (before_ != text.str()) write_file_atomically(path_, text.str());
  }
  const std::string& path() const { return path_; }
  /// A mistake leaves nothing behind: what stood here before stands here again.
  void take_back() const {
    if (before_) return write_file_atomically(path_, *before_);
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
    if (makes_folder_) std::filesystem::remove(out_, ignored);  // if it is empty
  }

 private:
  std::string out_;
  std::string path_;
  bool makes_folder_;
  std::optional<std::string> before_;
};

std::vector<std::string> words_of(const toml::node_view<const toml::node>& value) {
  std::vector<std::string> words;
  if (const toml::array* list = value.as_array()) {
    for (const toml::node& one : *list) words.push_back(one.value_or(std::string()));
  } else if (value) {
    words.push_back(value.value_or(std::string()));
  }
  return words;
}

std::optional<SweepTraffic> open_traffic(const SweepFlags& flags, const Globals& globals) {
  if (flags.has_traffic) {
    return std::optional<SweepTraffic>(std::in_place, flags.traffic, flags.kv_heads, globals.seed);
  }
  if (flags.pareto == "cost") {
    throw ConfigError({.code = "FLAG_MISSING",
                       .message = "--pareto cost needs traffic that costs, found none",
                       .hint = "give --trace and --gpu, or --pareto cache"});
  }
  return std::nullopt;
}

/// Converts, trains and measures what is not there yet.
void carry_out(const RunFlags& run, const WrittenRecipe& recipe, const Globals& globals) {
  try {
    RunStages(run, globals).check();
  } catch (const Error&) {
    recipe.take_back();
    throw;
  }
  run_recipe(run, globals);
}

/// The points with what the traffic costs: stopped there, the same command goes on.
Json simulate(const SweepTraffic& traffic, const std::string& out, const Globals& globals) {
  try {
    return traffic.simulate(out + "/results/replay.json", globals.quiet);
  } catch (const Error& stop) {
    if (stop.info().code == "INTERRUPTED") throw_if_stopped(/*resumable=*/true);
    throw;
  }
}

/// The report of the stages with the sweep in it. Results of every model are in eval.json already.
void write_report(const SweepView& view, const RunFlags& run, const Globals& globals) {
  Json kept = sweep_json(view);
  for (Json& point : kept["points"]) point.erase("results");
  std::vector<std::string> results = {view.out + "/results/sweep.json"};
  write_file_atomically(results.back(), kept.dump(1) + "\n");
  if (view.has_traffic()) results.push_back(view.out + "/results/replay.json");
  write_run_report(RunStages(run, globals), results);
}

CommandOutput run_sweep(const SweepFlags& given, const Globals& globals) {
  SweepFlags flags = given;
  flags.traffic.served.model = flags.model;
  const toml::table recipe = recipe_of(flags, globals);
  require_texts(recipe, globals);
  const auto eval = std::as_const(recipe)["eval"];
  const std::vector<Tolerance> tolerances =
      parse_tolerances(flags.tolerances, words_of(eval["task"]), words_of(eval["probe"]));
  const std::optional<SweepTraffic> traffic = open_traffic(flags, globals);
  const WrittenRecipe written(flags.out, recipe);
  const RunFlags run{.recipe = written.path(), .out = flags.out, .prompts = {}};
  carry_out(run, written, globals);
  const std::string results = flags.out + "/results/eval.json";
  SweepView view{.out = flags.out,
                 .points = read_sweep_points(
                     read_evaluation(read_strict_json(results, kManifestJson), results), results),
                 .tolerances = tolerances,
                 .by_cost = flags.pareto == "cost",
                 .uptrained = recipe.contains("uptrain")};
  check_tolerances(tolerances, results, view.points);
  if (traffic) {
    view.replay = simulate(*traffic, flags.out, globals);
    add_traffic(view.replay, view.points);
  }
  mark_pareto(view.points);
  write_report(view, run, globals);
  return {.json = sweep_json(view), .text = sweep_text(view)};
}

/// Flags of replay. That one was given, whatever its value, is what the sweep asks for.
void add_traffic_flags(CLI::App& command, const std::shared_ptr<SweepFlags>& flags) {
  const size_t before = command.get_options().size();
  add_trace_flags(command, flags->traffic);
  add_device_flags(command, flags->traffic.served);
  add_server_flags(command, flags->traffic);
  const std::vector<CLI::Option*> all = command.get_options();
  for (size_t i = before; i < all.size(); ++i) {
    all[i]->each([sweep = flags.get()](const std::string&) { sweep->has_traffic = true; });
  }
}

}  // namespace

void add_sweep_command(CLI::App& root, Invocation& invocation) {
  auto [command, flags] = add_command<SweepFlags>(
      root, invocation, "sweep",
      "Convert and measure every number of KV heads, and say which is enough", run_sweep);
  add_model(*command, flags->model)->required();
  add_out(*command, flags->out, "Folder of the runs; the same command goes on where it was")
      ->required();
  command->add_option("--kv-heads", flags->kv_heads, "Numbers to compare")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->required()
      ->check(whole_number());
  command->add_option("--method", flags->method, "As in convert")->type_name(kMethod);
  command->add_option("--calibration", flags->calibration, "Text to calibrate on, as in convert")
      ->type_name(kFile);
  command->add_option("--text", flags->texts, "Text that the loss of every model is measured on")
      ->type_name(kFile);
  command->add_option("--task", flags->tasks, "Tasks, as in eval");
  command->add_option("--probe", flags->probes, "Probes, as in eval");
  command->add_option("--probe-text", flags->probe_text, "Text of their needles, as in eval")
      ->type_name(kFile);
  command->add_option("--seq-len", flags->seq_len, "Tokens a window, as in eval");
  command->add_option("--max-tokens", flags->max_tokens, "Of each text, as in eval");
  command
      ->add_option(
          "--tolerance", flags->tolerances.loss,
          "Nats a token that the loss may be above the parent's: names the fewest KV heads")
      ->check(number(0, 100));
  command
      ->add_option("--tolerance-task", flags->tolerances.tasks,
                   "Points that a task's score may lose, such as piqa=1 or arc_easy:acc_norm=2")
      ->type_name("NAME=POINTS");
  command
      ->add_option("--tolerance-probe", flags->tolerances.probes,
                   "Nats a token that a probe's answers may lose, such as passkey=0.1")
      ->type_name("NAME=NATS");
  command->add_option("--pareto", flags->pareto, "What the front is taken by, beside the loss")
      ->type_name(words({"cache", "cost"}))
      ->capture_default_str()
      ->check(one_of({"cache", "cost"}));
  add_traffic_flags(*command, flags);
}

}  // namespace regroup
