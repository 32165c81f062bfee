#include "training_state.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_tree.h"
#include "regroup/base/input_file.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/manifest.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/checkpoint/safetensors.h"
#include "regroup/model/load.h"
#include "regroup/model/runtime.h"
#include "regroup/version.h"

namespace regroup {
namespace {

namespace fs = std::filesystem;
constexpr const char* kStateJson = "state.json";
constexpr const char* kStateTensors = "state.safetensors";
constexpr const char* kSeal = "checkpoint.json";
constexpr const char* kPartial = ".partial";

Json optional_number(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

constexpr double kNotFinite = std::numeric_limits<double>::quiet_NaN();

std::optional<double> read_optional(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_number() ? std::optional(json[key].get<double>())
                                                     : std::nullopt;
}

constexpr const char* kStateFormat = "regroup-training-state/1";

Json to_json(const TrainingState& state) {
  return {{"format", kStateFormat},
          {"step", state.step},
          {"tokens", state.tokens},
          {"skipped", state.skipped},
          {"skipped_in_a_row", state.skipped_in_a_row},
          {"last_loss", state.last_loss},
          {"val_loss", optional_number(state.val_loss)},
          {"first_val_loss", optional_number(state.first_val_loss)},
          {"best_val_loss", state.best_val_loss},
          {"unvalidated", state.unvalidated ? to_json(*state.unvalidated) : Json()},
          {"libtorch", libtorch_version()},
          {"settings", Json::parse(state.settings)}};
}

[[noreturn]] void refuse_state(const std::string& path, const std::string& message) {
  throw CheckpointError(
      {.code = "CKPT_STATE",
       .message = message,
       .path = path,
       .hint = "remove this checkpoint's folder to go on from the one before it"});
}

TrainingState from_json(const Json& json) {
  TrainingState state;
  state.step = json.at("step").get<int64_t>();
  state.tokens = json.at("tokens").get<int64_t>();
  state.skipped = json.at("skipped").get<int64_t>();
  state.skipped_in_a_row = json.at("skipped_in_a_row").get<int64_t>();
  // A loss that is not finite has no number in JSON.
  state.last_loss = read_optional(json, "last_loss").value_or(kNotFinite);
  state.val_loss = read_optional(json, "val_loss");
  state.first_val_loss = read_optional(json, "first_val_loss");
  state.best_val_loss = read_optional(json, "best_val_loss").value_or(kNotFinite);
  // Checkpoints of earlier versions have none.
  if (json.contains("unvalidated") && json["unvalidated"].is_object()) {
    state.unvalidated = step_metrics_of(json["unvalidated"]);
  }
  state.settings = json.at("settings").dump();
  return state;
}

/// The state of the checkpoint `step`, whose files are as they were written.
TrainingState read_state(const std::string& path, int64_t step) {
  const Json json = read_strict_json(path, kManifestJson);
  const Json format = json.is_object() ? json.value("format", Json()) : Json();
  if (format != kStateFormat) {
    refuse_state(path, fmt::format("format must be {}, found {}", kStateFormat,
                                   printable(format.dump(), 60)));
  }
  TrainingState state;
  try {
    state = from_json(json);
  } catch (const nlohmann::json::exception& error) {
    refuse_state(path, fmt::format("is no state of a run: {}", printable(error.what(), 120)));
  }
  const bool counts = state.tokens >= 0 && state.skipped >= 0 && state.skipped_in_a_row >= 0;
  if (state.step != step || !counts) {
    refuse_state(
        path, fmt::format("must be of step {} and count from 0, found step {}", step, state.step));
  }
  return state;
}

void write_state_tensors(const std::string& path,
                         const std::map<std::string, at::Tensor>& tensors) {
  std::vector<TensorSpec> specs;
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    specs.push_back({name, Dtype::kF32, tensor.sizes().vec()});
    bytes += static_cast<int64_t>(tensor.nbytes());
  }
  const std::string prefix = make_safetensors_prefix(specs, {});
  OutputFile file(path, static_cast<int64_t>(prefix.size()) + bytes);
  file.write(prefix);
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor host = tensor.to(at::kCPU).contiguous();
    file.write({static_cast<const std::byte*>(host.data_ptr()), host.nbytes()});
  }
  file.sync_and_close();
}

std::map<std::string, at::Tensor> read_state_tensors(const std::string& path) {
  const SafetensorsFile file{InputFile(path)};
  std::map<std::string, at::Tensor> tensors;
  for (const TensorInfo& info : file.tensors()) {
    at::Tensor tensor = at::empty(info.shape, at::TensorOptions().dtype(at::kFloat));
    file.read(info, 0, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
    tensors[info.name] = tensor;
  }
  return tensors;
}

/// {name: {size, sha256}} of every file in the folder.
Json seal_of(const std::string& folder) {
  Json files = Json::object();
  for (const std::string& name : files_below(folder)) {
    const std::string path = folder + "/" + name;
    files[name] = {{"size", fs::file_size(path)}, {"sha256", sha256_of_file(path)}};
  }
  return files;
}

/// "" if every file is as sealed, else what is wrong.
std::string damage_of(const std::string& folder) {
  try {
    const Json seal = read_strict_json(folder + "/" + kSeal, kManifestJson);
    for (const auto& [name, file] : seal.at("files").items()) {
      const std::string path = folder + "/" + name;
      if (!path_exists(path)) return name + " is missing";
      if (sha256_of_file(path) != file.at("sha256").get<std::string>()) {
        return name + " does not agree with its SHA-256";
      }
    }
  } catch (const Error& error) {
    return error.what();
  } catch (const nlohmann::json::exception& error) {
    return fmt::format("{}: {}", kSeal, error.what());
  }
  return {};
}

}  // namespace

std::string to_text(const TrainingState& state) { return to_json(state).dump(2); }

TrainingState training_state_of(const std::string& text) { return from_json(Json::parse(text)); }

std::string differing_settings(const Json& one, const Json& other, const char* of_one,
                               const char* of_other) {
  const auto value_of = [](const Json& settings, const std::string& key) {
    return settings.contains(key) ? printable(settings[key].dump(), 80) : "absent";
  };
  Json both = other;
  both.update(one);
  std::vector<std::string> fields;
  for (const auto& [key, unused] : both.items()) {
    if (one.contains(key) && other.contains(key) && one[key] == other[key]) continue;
    fields.push_back(fmt::format("{} ({} {}, {} {})", key, of_one, value_of(one, key), of_other,
                                 value_of(other, key)));
  }
  return join(fields, ", ");
}

CheckpointStore::CheckpointStore(std::string folder, std::string model,
                                 std::map<std::string, Dtype> dtypes, int64_t keep)
    : folder_(std::move(folder)),
      model_(std::move(model)),
      dtypes_(std::move(dtypes)),
      keep_(std::max<int64_t>(1, keep)) {
  make_folder(folder_);
}

std::string CheckpointStore::path_of(int64_t step) const {
  return fmt::format("{}/step-{}", folder_, step);
}

std::vector<int64_t> CheckpointStore::steps() const {
  std::vector<int64_t> found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("step-")) continue;
    int64_t step = 0;
    const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (error == std::errc() && end == name.data() + name.size()) found.push_back(step);
  }
  std::sort(found.begin(), found.end());
  return found;
}

void CheckpointStore::save(const Decoder& decoder, const std::map<std::string, at::Tensor>& buffers,
                           const TrainingState& state) {
  if (state.step == saved_) return;
  const std::string staging = path_of(state.step) + kPartial;
  remove_unfinished();
  make_folder(staging);
  copy_companions(model_, staging);
  save_weights(decoder, {.folder = staging, .dtypes = dtypes_});
  write_state_tensors(staging + "/" + kStateTensors, buffers);
  write_file_atomically(staging + "/" + kStateJson, to_text(state) + "\n");
  const Json seal = {{"format", "regroup-checkpoint/1"}, {"files", seal_of(staging)}};
  write_file_atomically(staging + "/" + kSeal, seal.dump(2) + "\n");
  sync_folder(staging);
  remove_tree(path_of(state.step));  // a damaged one: an intact one would have been gone on from
  rename_path(staging, path_of(state.step), /*replace=*/false);
  sync_folder(folder_);
  saved_ = state.step;
  remove_stale();
}

std::optional<Json> CheckpointStore::newest_settings() const {
  const std::vector<int64_t> all = steps();
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    try {
      return read_strict_json(path_of(*step) + "/" + kStateJson, kManifestJson).at("settings");
    } catch (const CheckpointError&) {  // damaged: find_newest() will say so
    } catch (const nlohmann::json::exception&) {
    }
  }
  return std::nullopt;
}

void CheckpointStore::remove_unfinished() const {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().ends_with(kPartial)) found.push_back(entry.path());
  }
  for (const std::string& path : found) remove_tree(path);
}

void CheckpointStore::remove_stale() const {
  std::vector<int64_t> all = steps();
  // Those beyond the one just written were damaged and skipped: counted, they would crowd out intact ones.
  for (; all.back() > saved_; all.pop_back()) remove_tree(path_of(all.back()));
  for (size_t i = 0; i + static_cast<size_t>(keep_) < all.size(); ++i) remove_tree(path_of(all[i]));
}

std::optional<FoundCheckpoint> CheckpointStore::find_newest(const std::string& settings,
                                                            std::vector<std::string>* warnings) {
  const std::vector<int64_t> all = steps();
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    const std::string path = path_of(*step);
    const std::string damage = damage_of(path);
    if (!damage.empty()) {
      warnings->push_back(fmt::format("{}: damaged, not used: {}", path, damage));
      continue;
    }
    TrainingState state = read_state(path + "/" + kStateJson, *step);
    const std::string differing =
        differing_settings(Json::parse(state.settings), Json::parse(settings), "was", "now");
    if (!differing.empty()) {
      throw ConfigError(
          {.code = "CKPT_MISMATCH",
           .message = fmt::format("holds a run with other settings: {}", differing),
           .path = path,
           .hint = "repeat the earlier command to go on with it, choose another OUT, or give "
                   "`overwrite` to drop it"});
    }
    saved_ = state.step;
    return FoundCheckpoint{std::move(state), read_state_tensors(path + "/" + kStateTensors)};
  }
  if (all.empty()) return std::nullopt;
  throw CheckpointError({.code = "CKPT_CORRUPT",
                         .message = fmt::format("none of its {} checkpoints is intact", all.size()),
                         .path = folder_,
                         .hint = "remove the folder to train from the beginning"});
}

void publish_model(const Decoder& decoder, const std::string& model, const std::string& folder,
                   const std::map<std::string, Dtype>& dtypes, const Json& method) {
  const std::string staging = folder + ".partial";
  remove_tree(staging);
  make_folder(staging);
  copy_companions(model, staging);
  save_weights(decoder, {.folder = staging, .dtypes = dtypes});
  Json files = Json::array();
  const Json sealed = seal_of(staging);
  for (const auto& [name, file] : sealed.items()) {
    files.push_back({{"path", name}, {"size", file["size"]}, {"sha256", file["sha256"]}});
  }
  const Json manifest = {{"format", "regroup-manifest/1"},
                         {"tool", {{"name", "regroup"}, {"version", kVersion}}},
                         {"method", method},
                         {"output", {{"files", files}, {"tensors", Json::array()}}}};
  write_file_atomically(staging + "/" + kManifestName, manifest.dump(2) + "\n");
  ModelFolder::open(staging);  // what is published must pass a reader's checks
  sync_folder(staging);
  rename_path(staging, folder, /*replace=*/false);
  sync_folder(parent_folder(folder));
}

}  // namespace regroup
