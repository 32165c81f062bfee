#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <sstream>

#include "command.h"
#include "flag_values.h"
#include "recipe_syntax.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/human_number.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "run_pipeline.h"
#include "sweep_points.h"
#include "table.h"

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
  std::string seq_len;
  std::string max_tokens;
  std::optional<double> tolerance;
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
std::string write_recipe(const SweepFlags& flags, const toml::table& recipe) {
  make_folder(flags.out);
  std::ostringstream text;
  text << "# Made by regroup sweep.\n" << recipe << "\n";
  const std::string path = flags.out + "/sweep.toml";
  const std::string content = text.str();
  const bool same = path_exists(path) && InputFile(path).read_all() == content;
  if (!same) write_file_atomically(path, content);
  return path;
}

std::string increase_text(const SweepPoint& point) {
  std::string text;
  for (const LossIncrease& loss : point.losses) {
    text += (text.empty() ? "" : "; ") + format_estimate(loss.value, loss.error, "{:.4f}");
  }
  return text.empty() ? "-" : text;
}

std::string explain(const std::vector<SweepPoint>& points, const SweepFlags& flags, bool uptrains) {
  std::string text;
  if (flags.tolerance) {
    const SweepPoint* chosen = smallest_within(points, *flags.tolerance);
    text = chosen == nullptr
               ? fmt::format("no number of KV heads stays within {} nats a token of the parent",
                             *flags.tolerance)
               : fmt::format(
                     "{} KV head{}: the fewest whose loss is above the parent's by at most "
                     "{} nats a token, by the upper end of the 95 % interval",
                     chosen->n_kv_heads, chosen->n_kv_heads == 1 ? "" : "s", *flags.tolerance);
  }
  if (uptrains) return text;
  return text + (text.empty() ? "" : "; ") +
         "nothing was uptrained: how much of each loss comes back is not known";
}

std::string sweep_text(const std::vector<SweepPoint>& points, const std::string& why,
                       const std::string& out) {
  std::vector<std::vector<std::string>> rows = {
      {"KV heads", "model", "KV per token", "loss - parent", "Pareto"}};
  for (const SweepPoint& point : points) {
    rows.push_back({std::to_string(point.n_kv_heads), point.role,
                    human_bytes(point.kv_bytes_per_token), increase_text(point),
                    point.pareto ? "yes" : "no"});
  }
  return format_table(rows) + "\n" + why + "\n" + printable(out, 500) + "/report.html\n";
}

Json point_json(const SweepPoint& point) {
  Json json = {{"n_kv_heads", point.n_kv_heads},
               {"role", point.role},
               {"kv_bytes_per_token", point.kv_bytes_per_token},
               {"loss_increase", Json::array()},
               {"results", point.results}};
  for (const LossIncrease& loss : point.losses) {
    json["loss_increase"].push_back({{"text", loss.text},
                                     {"value", loss.value},
                                     {"stderr", loss.error},
                                     {"upper", loss.upper()}});
  }
  return json;
}

CommandOutput run_sweep(const SweepFlags& flags, const Globals& globals) {
  const toml::table recipe = recipe_of(flags, globals);
  require_texts(recipe, globals);
  const bool fresh = !path_exists(flags.out);
  const std::string path = write_recipe(flags, recipe);
  const RunFlags run{.recipe = path, .out = flags.out, .prompts = {}};
  try {
    RunStages(run, globals).check();
  } catch (const Error&) {
    // A mistake leaves nothing behind.
    std::error_code ignored;
    if (fresh) std::filesystem::remove_all(flags.out, ignored);
    throw;
  }
  run_recipe(run, globals);
  const std::string results = flags.out + "/results/eval.json";
  const std::vector<SweepPoint> points =
      read_sweep_points(read_strict_json(results, kManifestJson), results);
  const std::string why = explain(points, flags, recipe.contains("uptrain"));
  CommandOutput output;
  output.text = sweep_text(points, why, flags.out);
  output.json = {{"out", flags.out}, {"points", Json::array()}, {"pareto", Json::array()}};
  for (const SweepPoint& point : points) {
    output.json["points"].push_back(point_json(point));
    if (point.pareto) output.json["pareto"].push_back(point.n_kv_heads);
  }
  if (flags.tolerance) {
    const SweepPoint* chosen = smallest_within(points, *flags.tolerance);
    output.json["tolerance"] = *flags.tolerance;
    output.json["chosen"] = chosen == nullptr ? Json() : Json(chosen->n_kv_heads);
  }
  output.json["why"] = why;
  return output;
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
  command->add_option("--seq-len", flags->seq_len, "Tokens a window, as in eval");
  command->add_option("--max-tokens", flags->max_tokens, "Of each text, as in eval");
  command
      ->add_option(
          "--tolerance", flags->tolerance,
          "Nats a token that the loss may be above the parent's: names the fewest KV heads")
      ->check(number(0, 100));
}

}  // namespace regroup
