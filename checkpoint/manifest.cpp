#include "regroup/checkpoint/manifest.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/folder_tree.h"
#include "regroup/base/input_file.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {
namespace {

std::vector<std::byte> rounded(std::span<const std::byte> floats, Dtype dtype) {
  std::vector<double> values(floats.size() / sizeof(float));
  widen(Dtype::kF32, floats, values);
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_bits(dtype)) / 8);
  round_to(dtype, values, bytes);
  return bytes;
}

/// @param computed_as  what the values of a computed tensor are rounded to
std::string tensor_digest(const ModelFolder& folder, const std::string& name,
                          Dtype computed_as = Dtype::kF32) {
  throw_if_stopped(/*resumable=*/false);
  const TensorInfo& info = *folder.locate(name).info;
  Xxh3 hash;
  std::vector<std::byte> buffer(1 << 20);
  for (int64_t at = 0; at < info.bytes();) {
    const auto n = std::min<int64_t>(info.bytes() - at, static_cast<int64_t>(buffer.size()));
    const auto chunk = std::span(buffer).first(static_cast<size_t>(n));
    folder.read(name, at, chunk);
    if (folder.is_computed(name)) {
      hash.update(rounded(chunk, computed_as));
    } else {
      hash.update(chunk);
    }
    at += n;
  }
  return hash.hex();
}

void check_files(const std::string& path, const Json& files, VerifyResult& result) {
  for (const Json& file : files) {
    throw_if_stopped(/*resumable=*/false);
    const auto name = file.at("path").get<std::string>();
    const std::string file_path = path + "/" + name;
    if (!is_inner_path(name) || !path_exists(file_path)) {
      result.problems.push_back(
          fmt::format("{}: listed in {} but missing", printable(name), kManifestName));
      continue;
    }
    ++result.files;
    const InputFile input(file_path);
    if (input.size() != file.at("size").get<int64_t>()) {
      result.problems.push_back(fmt::format("{}: must have {} bytes, found {}", printable(name),
                                            file.at("size").get<int64_t>(), input.size()));
      continue;
    }
    result.bytes += input.size();
    const std::string digest = sha256_of_file(file_path);
    if (digest != file.at("sha256").get<std::string>()) {
      result.problems.push_back(fmt::format("{}: SHA-256 must be {}, found {}", printable(name),
                                            file.at("sha256").get<std::string>(), digest));
    }
  }
}

/// Digests alone say which file is wrong; this says which tensor.
void check_tensors(const ModelFolder& folder, const Json& tensors, VerifyResult& result) {
  for (const Json& tensor : tensors) {
    const auto name = tensor.at("name").get<std::string>();
    if (!folder.contains(name)) {
      result.problems.push_back(
          fmt::format("tensor {}: listed in {} but missing", printable(name), kManifestName));
      continue;
    }
    const std::string digest = tensor_digest(folder, name);
    if (digest != tensor.at("xxh3_128").get<std::string>()) {
      result.problems.push_back(fmt::format("tensor {}: XXH3-128 must be {}, found {}",
                                            printable(name),
                                            tensor.at("xxh3_128").get<std::string>(), digest));
    }
  }
}

void check_manifest(const std::string& path, const ModelFolder& folder, VerifyResult& result) {
  const std::string manifest_path = path + "/" + kManifestName;
  const Json manifest = read_strict_json(manifest_path, kManifestJson);
  try {
    const auto format = manifest.at("format").get<std::string>();
    if (format != "regroup-manifest/1") {
      result.problems.push_back(
          fmt::format("{}: format must be regroup-manifest/1, found {}", kManifestName, format));
      return;
    }
    check_files(path, manifest.at("output").at("files"), result);
    check_tensors(folder, manifest.at("output").at("tensors"), result);
  } catch (const nlohmann::json::exception& error) {
    result.problems.push_back(
        fmt::format("{}: is no manifest: {}", kManifestName, printable(error.what())));
  }
}

/// The folder's manifest; null without one.
Json manifest_of(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  return path_exists(path) ? read_strict_json(path, kManifestJson) : Json();
}

/// What `pointer` leads to, or null.
Json value_at(const Json& manifest, const char* pointer) {
  const Json::json_pointer path(pointer);
  return manifest.contains(path) ? manifest[path] : Json();
}

/// Which roles the method of a manifest may change; nullopt: all of them.
std::optional<std::set<Role>> changeable_roles(const Json& manifest) {
  std::set<Role> roles = {Role::kKey, Role::kValue,   Role::kKeyBias, Role::kValueBias,
                          Role::kQkv, Role::kQkvBias, Role::kKeyNorm};
  const bool uptrained = value_at(manifest, "/method/name") == "uptrain";
  const Json trained = value_at(manifest, "/method/settings/train");
  if (uptrained && trained != "attention" && trained != "kv") return std::nullopt;
  const bool folds = value_at(manifest, "/method/changes_queries") == true;
  if (folds || (uptrained && trained == "attention")) {
    roles.insert(
        {Role::kQuery, Role::kQueryBias, Role::kQueryNorm, Role::kOutput, Role::kOutputBias});
  }
  return roles;
}

/// What was done to each tensor, where the manifest of a conversion says so: whether it may differ.
std::map<std::string, bool> changed_by_name(const Json& manifest) {
  std::map<std::string, bool> changed;
  const Json tensors = value_at(manifest, "/output/tensors");
  if (!tensors.is_array()) return changed;
  for (const Json& tensor : tensors) {
    const Json name = tensor.is_object() ? tensor.value("name", Json()) : Json();
    const Json action = tensor.is_object() ? tensor.value("action", Json()) : Json();
    if (name.is_string() && action.is_string())
      changed[name.get<std::string>()] = action != "copied" && action != "made";
  }
  return changed;
}

void add_other_parent(VerifyResult& result, const std::string& problem) {
  result.other_parent = true;
  result.problems.push_back(problem);
}

/// Of a conversion: whether the weights that the manifest names as its source are the parent's. Other bytes
/// may be the same tensors saved anew, which the manifest does not tell apart: a notice.
void check_source_files(const Json& files, const std::string& parent, VerifyResult& result) {
  for (const Json& file : files) {
    const auto name = file.at("path").get<std::string>();
    const std::string source = parent + "/" + name;
    const bool weights = name.ends_with(".safetensors") && name.find('/') == std::string::npos;
    if (!weights || !path_exists(source)) continue;
    if (sha256_of_file(source) == file.at("sha256").get<std::string>()) continue;
    result.other_parent = true;
    result.notices.push_back(
        fmt::format("{} is not the file that was converted ({} has its SHA-256): another model, or "
                    "the same saved anew",
                    printable(source), kManifestName));
  }
}

/// Whether `parent` is the model that the manifest says this one was made from.
void check_source(const Json& manifest, const ModelFolder& parent, VerifyResult& result) {
  const Json files = value_at(manifest, "/source/files");
  try {
    check_source_files(files, parent.path(), result);
  } catch (const nlohmann::json::exception& error) {
    result.problems.push_back(
        fmt::format("{}: is no manifest: {}", kManifestName, printable(error.what())));
  }
  const Json heads = value_at(manifest, "/method/n_kv_heads/before");
  if (heads.is_number() && heads != parent.config().n_kv_heads) {
    add_other_parent(result, fmt::format("the parent must have {} KV heads, as {} says, found {}",
                                         heads.dump(), kManifestName, parent.config().n_kv_heads));
  }
  const Json started_from = value_at(manifest, "/method/settings/model_sha256");
  const bool from_scratch = value_at(manifest, "/method/settings/init_from_scratch") == true;
  if (!started_from.is_string() || from_scratch || started_from == model_digest(parent)) return;
  result.other_parent = true;
  result.notices.push_back(fmt::format(
      "{} is not the model that training started from, by the digest in {}: another model, or "
      "the same saved anew",
      printable(parent.path()), kManifestName));
}

/// `parent`, as one of the class of `folder` where that is what its conversions are written as.
ModelFolder open_parent(const ModelFolder& folder, const std::string& parent) {
  ModelFolder stored = ModelFolder::open(parent);
  const bool same = stored.config().family == folder.config().family;
  return same ? std::move(stored) : ModelFolder::open_as_written(parent);
}

/// Whether `tensor` is of a KV head that `other` does not have.
bool is_of_another_head(const ExpectedTensor& tensor, const ModelConfig& other) {
  return tensor.rule->each == Dim::kKvHeads && tensor.part >= other.n_kv_heads;
}

void compare(const ModelFolder& folder, const ModelFolder& parent, VerifyResult& result) {
  const Json manifest = manifest_of(folder.path());
  check_source(manifest, parent, result);
  const std::optional<std::set<Role>> may_change = changeable_roles(manifest);
  const std::map<std::string, bool> changed = changed_by_name(manifest);
  const auto may_differ = [&](const ExpectedTensor& tensor) {
    if (const auto known = changed.find(tensor.name); known != changed.end()) return known->second;
    return !may_change || may_change->contains(tensor.rule->role);
  };
  const bool uptrained = value_at(manifest, "/method/name") == "uptrain";
  for (const ExpectedTensor& tensor : folder.tensors()) {
    if (is_of_another_head(tensor, parent.config())) {
      result.changed.push_back(tensor.name);
      continue;
    }
    if (!parent.contains(tensor.name)) {
      add_other_parent(result, fmt::format("tensor {}: is not in the parent", tensor.name));
      continue;
    }
    const TensorInfo& own = *folder.locate(tensor.name).info;
    const TensorInfo& theirs = *parent.locate(tensor.name).info;
    if (uptrained && own.shape != theirs.shape) {
      add_other_parent(result, fmt::format("tensor {}: must have the parent's shape", tensor.name));
      continue;
    }
    const Dtype stored = parent.is_computed(tensor.name) ? parent.dtype(tensor.name) : theirs.dtype;
    const bool same_dtype = own.dtype == stored;
    if (tensor_digest(folder, tensor.name) == tensor_digest(parent, tensor.name, own.dtype)) {
      ++result.equal;
      continue;
    }
    result.changed.push_back(tensor.name);
    if (same_dtype && !may_differ(tensor)) {
      result.problems.push_back(
          fmt::format("tensor {}: must equal the parent's, but differs", tensor.name));
    }
  }
  for (const ExpectedTensor& tensor : parent.tensors()) {
    if (folder.contains(tensor.name)) continue;
    if (is_of_another_head(tensor, folder.config())) continue;
    add_other_parent(result, fmt::format("tensor {}: is in the parent alone", tensor.name));
  }
}

}  // namespace

std::optional<ConversionRecord> conversion_of(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  if (!path_exists(path)) return std::nullopt;
  try {
    const Json manifest = read_strict_json(path, kManifestJson);
    if (manifest.at("format") != "regroup-manifest/1") return std::nullopt;
    const Json& method = manifest.at("method");
    const Json& heads = method.at("n_kv_heads");
    const Json& arguments = manifest.at("arguments");
    return ConversionRecord{
        .method = method.at("name").get<std::string>(),
        .calibrated = arguments.contains("calibration") || arguments.contains("statistics_sha256"),
        .kv_heads_before = heads.at("before").get<int64_t>(),
        .kv_heads_after = heads.at("after").get<int64_t>()};
  } catch (const Error&) {
    return std::nullopt;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

VerifyResult verify_folder(const std::string& path, const std::string& parent) {
  const ModelFolder folder = ModelFolder::open(path);
  VerifyResult result;
  result.notices = folder.warnings();
  result.notices.insert(result.notices.end(), folder.notices().begin(), folder.notices().end());
  result.tensors = static_cast<int64_t>(folder.tensors().size());
  result.has_manifest = path_exists(path + "/" + kManifestName);
  if (result.has_manifest) {
    check_manifest(path, folder, result);
  } else {
    result.files = static_cast<int64_t>(folder.shards().size()) + 1;
    result.bytes = folder.weight_bytes();
  }
  if (!parent.empty()) compare(folder, open_parent(folder, parent), result);
  return result;
}

}  // namespace regroup
